import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** Somebody who may hold accounts. */
@Entity('customers')
export class Customer {
  @PrimaryGeneratedColumn('identity', { type: 'bigint', generatedIdentity: 'ALWAYS' })
  readonly id!: string;

  @Column('text')
  name!: string;

  /** In lower case, and unique: two customers never share an address. */
  @Column('text')
  email!: string;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 })
  readonly createdAt!: Date;

  /** A customer who is not in the database yet. */
  static register(name: string, email: string): Customer {
    const customer = new Customer();
    customer.name = name;
    customer.email = email.toLowerCase();
    return customer;
  }
}
