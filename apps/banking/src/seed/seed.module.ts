import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Account } from '../accounts/account.entity.js';
import { AccountsModule } from '../accounts/accounts.module.js';
import { Customer } from '../customers/customer.entity.js';
import { CustomersModule } from '../customers/customers.module.js';
import { DemoBankService } from './demo-bank.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Account, Customer]), AccountsModule, CustomersModule],
  providers: [DemoBankService],
})
export class SeedModule {}
