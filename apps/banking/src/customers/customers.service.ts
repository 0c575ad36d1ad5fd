import { Injectable } from '@nestjs/common';
import { DbSession, Transactional } from 'nestjs-uow';
import { Customer } from './customer.entity.js';

/** Who banks here. */
@Injectable()
export class CustomersService {
  constructor(private readonly session: DbSession) {}

  /** Makes somebody a customer. */
  @Transactional()
  async register(name: string, email: string): Promise<Customer> {
    const customer = Customer.register(name, email);
    this.session.add(customer);
    // The id is the database's to give, and the caller wants it inside the transaction already.
    await this.session.flush();
    return customer;
  }
}
