import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DbSession, Transactional, TransactionManager } from 'nestjs-uow';
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn, Repository } from 'typeorm';

@Entity()
export class Seat {
  @PrimaryColumn()
  number!: string;

  @Column({ type: 'text', nullable: true })
  guest!: string | null;
}

@Entity()
export class AuditEntry {
  @PrimaryGeneratedColumn('identity')
  id!: number;

  @Column()
  text!: string;
}

export class SeatTakenError extends Error {
  constructor(number: string) {
    super(`Seat ${number} is taken`);
    this.name = 'SeatTakenError';
  }
}

export class NotHungryError extends Error {}

@Injectable()
export class Mail {
  readonly sent: string[] = [];
  warm = false;

  send(to: string, text: string): void {
    this.sent.push(`${to}: ${text}`);
  }

  async warmUp(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.warm = true;
  }
}

// #region nested
@Injectable()
export class AuditLog {
  constructor(@InjectRepository(AuditEntry) private readonly entries: Repository<AuditEntry>) {}

  /** Kept whatever becomes of the transaction around it. */
  @Transactional({ propagation: 'REQUIRES_NEW' })
  async always(text: string): Promise<void> {
    await this.entries.insert({ text });
  }

  /** May fail alone: the transaction around it goes on without it. */
  @Transactional({ propagation: 'NESTED' })
  async ifPossible(text: string): Promise<void> {
    await this.entries.insert({ text });
    if (text === '') throw new Error('nothing to say');
  }
}
// #endregion

// #region declared
@Injectable()
export class Bookings {
  constructor(
    private readonly session: DbSession,
    private readonly transactions: TransactionManager,
    private readonly mail: Mail,
  ) {}

  @Transactional()
  async book(number: string, guest: string): Promise<void> {
    const seat = await this.session.getOrFail(Seat, number, { lock: 'update' });
    if (seat.guest !== null) throw new SeatTakenError(number);
    seat.guest = guest;
    this.transactions.afterCommit(() => this.mail.send(guest, `Seat ${number} is yours`));
  }
}
// #endregion

@Injectable()
export class Evenings {
  constructor(
    private readonly session: DbSession,
    private readonly transactions: TransactionManager,
    private readonly bookings: Bookings,
    private readonly audit: AuditLog,
    private readonly mail: Mail,
  ) {}

  // #region audited
  @Transactional()
  async bookAudited(number: string, guest: string, note: string): Promise<void> {
    await this.audit.always(`${guest} asks for ${number}`);
    await this.audit.ifPossible(note).catch(() => undefined);
    await this.bookings.book(number, guest);
  }
  // #endregion

  // #region programmatic
  async bookFirstFree(guest: string): Promise<string | null> {
    return await this.transactions.run(
      { isolation: 'SERIALIZABLE', retry: { attempts: 3 }, timeout: 2_000 },
      async () => {
        const seat = await this.session.findOne(Seat, { where: { guest: '' }, order: { number: 'ASC' } });
        if (seat === null) return null;
        seat.guest = guest;
        return seat.number;
      },
    );
  }
  // #endregion

  // #region read-only
  @Transactional({ readOnly: true, isolation: 'REPEATABLE READ' })
  async occupancy(): Promise<number> {
    const all = await this.session.count(Seat);
    const free = await this.session.count(Seat, { where: { guest: '' } });
    return (all - free) / all;
  }
  // #endregion

  // #region rollback-rules
  @Transactional({ noRollbackFor: NotHungryError })
  async dine(number: string, guest: string): Promise<void> {
    await this.bookings.book(number, guest);
    throw new NotHungryError('thank you'); // the booking is committed, the error is thrown on
  }
  // #endregion

  // #region rollback-only
  @Transactional()
  async tryOut(number: string, guest: string): Promise<string> {
    await this.bookings.book(number, guest);
    this.transactions.setRollbackOnly('this was a rehearsal');
    return 'works'; // returned without an error; nothing is kept
  }
  // #endregion

  // #region branches
  @Transactional()
  async bookTwo(numbers: [string, string], guest: string): Promise<void> {
    await Promise.all(numbers.map((number) => this.bookings.book(number, guest)));
  }
  // #endregion

  // #region detach
  @Transactional()
  async bookAndWarmUp(number: string, guest: string): Promise<void> {
    await this.bookings.book(number, guest);
    void this.transactions.detach(() => this.mail.warmUp());
  }
  // #endregion
}
