import type { MigrationInterface, QueryRunner } from 'typeorm';
import { CURRENCIES } from '../../money/currency.js';

/**
 * The schema of the bank. What must never be wrong is stated here as well as in the domain, so that no code, and no
 * hand at a SQL prompt, can leave money created, lost, or in the wrong currency.
 */
export class OpenTheBank1763800000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table customers (
        id         bigint generated always as identity primary key,
        name       text not null check (name <> ''),
        email      text not null constraint customers_email_unique unique check (email = lower(email)),
        created_at timestamptz(3) not null default now()
      )`);

    await runner.query(`
      create table accounts (
        id              bigint generated always as identity primary key,
        kind            text not null check (kind in ('customer', 'settlement')),
        customer_id     bigint references customers,
        currency        text not null check (currency ~ '^[A-Z]{3}$'),
        balance         bigint not null,
        overdraft_limit bigint not null check (overdraft_limit >= 0),
        status          text not null check (status in ('active', 'frozen', 'closed')),
        version         integer not null check (version > 0),
        created_at      timestamptz(3) not null default now(),
        constraint accounts_balance_covered check (balance >= -overdraft_limit),
        constraint accounts_closed_empty check (status <> 'closed' or balance = 0),
        constraint accounts_settlement_is_the_banks check ((kind = 'settlement') = (customer_id is null)),
        -- What transfers and ledger entries refer to, so that their currency is the account's.
        constraint accounts_id_currency_unique unique (id, currency)
      )`);
    await runner.query(`create index accounts_customer on accounts (customer_id)`);
    await runner.query(`
      create unique index accounts_one_settlement_each on accounts (currency) where kind = 'settlement'`);

    await runner.query(`
      create table transfers (
        id              bigint generated always as identity primary key,
        from_account_id bigint not null,
        to_account_id   bigint not null,
        currency        text not null,
        amount          bigint not null check (amount > 0),
        reference       text,
        created_at      timestamptz(3) not null default now(),
        constraint transfers_two_accounts check (from_account_id <> to_account_id),
        constraint transfers_from_account foreign key (from_account_id, currency) references accounts (id, currency),
        constraint transfers_to_account foreign key (to_account_id, currency) references accounts (id, currency),
        constraint transfers_id_currency_unique unique (id, currency)
      )`);
    await runner.query(`create index transfers_from on transfers (from_account_id)`);
    await runner.query(`create index transfers_to on transfers (to_account_id)`);

    await runner.query(`
      create table ledger_entries (
        id            bigint generated always as identity primary key,
        transfer_id   bigint not null,
        account_id    bigint not null,
        currency      text not null,
        amount        bigint not null check (amount <> 0),
        balance_after bigint not null,
        constraint ledger_entries_transfer foreign key (transfer_id, currency) references transfers (id, currency),
        constraint ledger_entries_account foreign key (account_id, currency) references accounts (id, currency),
        constraint ledger_entries_once_each unique (transfer_id, account_id)
      )`);
    await runner.query(`create index ledger_entries_statement on ledger_entries (account_id, id)`);

    await runner.query(`
      create table idempotency_records (
        key         text constraint idempotency_records_key_unique primary key check (length(key) between 1 and 255),
        fingerprint text not null,
        transfer_id bigint unique references transfers,
        refusal     jsonb,
        created_at  timestamptz(3) not null default now(),
        constraint idempotency_records_one_answer check (num_nonnulls(transfer_id, refusal) = 1)
      )`);

    // Double entry. Deferred to the commit, because the postings follow their transfer.
    await runner.query(`
      create function check_transfer_is_posted() returns trigger language plpgsql as $$
      declare
        id_of_transfer bigint;
      begin
        if tg_table_name = 'transfers' then
          id_of_transfer := new.id;
        else
          id_of_transfer := new.transfer_id;
        end if;
        if not exists (
          select from transfers t
           where t.id = id_of_transfer
             and (select count(*) = 2
                     and count(*) filter (where e.account_id = t.from_account_id and e.amount = -t.amount) = 1
                     and count(*) filter (where e.account_id = t.to_account_id and e.amount = t.amount) = 1
                    from ledger_entries e where e.transfer_id = t.id)
        ) then
          raise exception 'the postings of transfer % do not carry it from one account to the other', id_of_transfer
            using errcode = 'check_violation', constraint = 'transfer_is_posted', table = 'transfers';
        end if;
        return null;
      end $$`);
    await runner.query(`
      create constraint trigger transfer_is_posted after insert on transfers
        deferrable initially deferred for each row execute function check_transfer_is_posted()`);
    await runner.query(`
      create constraint trigger transfer_is_posted after insert on ledger_entries
        deferrable initially deferred for each row execute function check_transfer_is_posted()`);

    // The ledger is written once. Corrections are transfers in the other direction.
    await runner.query(`
      create function refuse_change() returns trigger language plpgsql as $$
      begin
        raise exception '% is written once and never changed', tg_table_name using errcode = 'restrict_violation';
      end $$`);
    for (const table of ['transfers', 'ledger_entries']) {
      await runner.query(`
        create trigger ${table}_are_final before update or delete or truncate on ${table}
          for each statement execute function refuse_change()`);
    }

    const banksSide = CURRENCIES.map(
      (currency) => `('settlement', '${currency}', 0, 9223372036854775807, 'active', 1)`,
    );
    await runner.query(`
      insert into accounts (kind, currency, balance, overdraft_limit, status, version) values ${banksSide.join(', ')}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`drop table idempotency_records, ledger_entries, transfers, accounts, customers`);
    await runner.query(`drop function check_transfer_is_posted`);
    await runner.query(`drop function refuse_change`);
  }
}
