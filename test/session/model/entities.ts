import {
  Column,
  CreateDateColumn,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm';

/**
 * Nine entities, related in every way that there is: a circle of two tables, one that refers to itself, composite and
 * natural keys, generated numbers and uuids, one-to-one, join tables, embedded values, converted ones.
 */

export class Geo {
  @Column('double precision')
  latitude!: number;
}

export class Address {
  @Column('text')
  street!: string;

  @Column(() => Geo)
  geo!: Geo;
}

@Entity('company')
export class Company {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column('text')
  name!: string;

  @Column(() => Address)
  address!: Address;

  @OneToMany(() => Department, (department) => department.company)
  departments!: Department[];
}

@Entity('department')
export class Department {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;

  @ManyToOne(() => Company, (company) => company.departments, { nullable: false })
  company!: Company;

  @ManyToOne(() => Employee, { nullable: true })
  head!: Employee | null;

  @OneToMany(() => Employee, (employee) => employee.department)
  employees!: Employee[];
}

const asBigInt = {
  from: (stored: string | null) => (stored === null ? null : BigInt(stored)),
  to: (value: unknown) => (typeof value === 'bigint' ? String(value) : value),
};

@Entity('employee')
export class Employee {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id!: string;

  @Column('text')
  name!: string;

  @Column('bigint', { transformer: asBigInt })
  salary!: bigint;

  @Column('jsonb')
  profile!: { n: number };

  @Column('timestamptz', { nullable: true })
  hired!: Date | null;

  @ManyToOne(() => Department, (department) => department.employees, { nullable: true })
  department!: Department | null;

  @ManyToOne(() => Employee, (employee) => employee.reports, { nullable: true })
  manager!: Employee | null;

  @OneToMany(() => Employee, (employee) => employee.manager)
  reports!: Employee[];

  @OneToOne(() => Badge, (badge) => badge.employee)
  badge!: Badge | null;

  @ManyToMany(() => Project, (project) => project.members)
  @JoinTable({ name: 'membership' })
  projects!: Project[];
}

@Entity('badge')
export class Badge {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column('text')
  colour!: string;

  @OneToOne(() => Employee, (employee) => employee.badge, { nullable: true })
  @JoinColumn()
  employee!: Employee | null;
}

@Entity('project')
export class Project {
  @PrimaryColumn('text')
  code!: string;

  @PrimaryColumn('int')
  year!: number;

  @Column('text')
  title!: string;

  @ManyToMany(() => Employee, (employee) => employee.projects)
  members!: Employee[];

  @OneToMany(() => Task, (task) => task.project)
  tasks!: Task[];
}

@Entity('task')
export class Task {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  title!: string;

  @Column('int')
  effort!: number;

  @ManyToOne(() => Project, (project) => project.tasks, { nullable: false })
  project!: Project;

  @ManyToOne(() => Employee, { nullable: true })
  assignee!: Employee | null;

  @OneToMany(() => Remark, (remark) => remark.task)
  remarks!: Remark[];

  @ManyToMany(() => Label, (label) => label.tasks)
  @JoinTable({ name: 'task_label' })
  labels!: Label[];

  @UpdateDateColumn()
  updatedAt!: Date;

  @VersionColumn()
  version!: number;
}

@Entity('remark')
export class Remark {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column('text')
  text!: string;

  @ManyToOne(() => Task, (task) => task.remarks, { nullable: false })
  task!: Task;

  @CreateDateColumn()
  createdAt!: Date;
}

@Entity('label')
export class Label {
  @PrimaryColumn('varchar')
  slug!: string;

  @Column('enum', { enum: ['red', 'green', 'blue'] })
  colour!: string;

  @ManyToMany(() => Task, (task) => task.labels)
  tasks!: Task[];
}

@Entity('document')
export class Document {
  @PrimaryColumn('bigint')
  id!: string;

  @Column('bytea')
  bytes!: Buffer;

  @Column('text', { array: true })
  tags!: string[];

  @ManyToOne(() => Employee, { nullable: true })
  owner!: Employee | null;
}

export const ENTITIES = [Company, Department, Employee, Badge, Project, Task, Remark, Label, Document];
