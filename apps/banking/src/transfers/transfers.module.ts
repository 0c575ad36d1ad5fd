import { Module } from '@nestjs/common';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { TransferDeskService } from './transfer-desk.service.js';
import { TransfersController } from './transfers.controller.js';
import { TransfersService } from './transfers.service.js';

@Module({
  imports: [IdempotencyModule],
  controllers: [TransfersController],
  providers: [TransfersService, TransferDeskService],
})
export class TransfersModule {}
