import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UowModule } from 'nestjs-uow';
import { Account, Transfer, TransferService } from './transfer.js';

const url = process.env.DATABASE_URL ?? '';

// #region module
@Module({
  imports: [TypeOrmModule.forRoot({ type: 'postgres', url, entities: [Account, Transfer] }), UowModule.forRoot()],
  providers: [TransferService],
})
export class AppModule {}
// #endregion
