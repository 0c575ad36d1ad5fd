import { Entity, PrimaryColumn } from 'typeorm';

@Entity()
export class Note {
  @PrimaryColumn('text')
  value!: string;
}
