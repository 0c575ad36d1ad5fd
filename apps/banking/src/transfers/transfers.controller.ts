import { Body, Controller, Get, Param, Post, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblem } from '../http/api-problem.decorator.js';
import { ApiIdempotencyKey, IdempotencyKey } from '../http/idempotency-key.decorator.js';
import { parseIdentifier } from '../http/identifier.js';
import type { ResponseHeaders } from '../http/response-headers.js';
import { TransferDeskService } from './transfer-desk.service.js';
import { MakeTransfer, TransferView } from './transfers.dto.js';
import { TransfersService } from './transfers.service.js';

@ApiTags('transfers')
@Controller('transfers')
export class TransfersController {
  constructor(
    private readonly desk: TransferDeskService,
    private readonly transfers: TransfersService,
  ) {}

  @Post()
  @ApiOperation({ summary: 'Move money from one account to another' })
  @ApiIdempotencyKey()
  @ApiCreatedResponse({
    type: TransferView,
    headers: {
      Location: { schema: { type: 'string' } },
      'Idempotency-Replayed': {
        description: '`true` where the transfer had been made before.',
        schema: { type: 'string' },
      },
    },
  })
  @ApiProblem(400, 'The body or the header is not as described; `errors` names the fields.')
  @ApiProblem(404, 'There is no such account.')
  @ApiProblem(409, 'Somebody else was faster. The same request may be sent again, with the same key.')
  @ApiProblem(422, 'The bank refuses, by its rules or since the key belongs to another order; `type` says why.')
  async make(
    @IdempotencyKey() key: string,
    @Body() body: MakeTransfer,
    @Res({ passthrough: true }) response: ResponseHeaders,
  ): Promise<TransferView> {
    const { transfer, replayed } = await this.desk.place(body.toOrder(), key);
    response.header('Location', `/transfers/${transfer.id}`);
    if (replayed) response.header('Idempotency-Replayed', 'true');
    return new TransferView(transfer);
  }

  @Get(':id')
  @ApiOperation({ summary: 'Show a transfer' })
  @ApiOkResponse({ type: TransferView })
  @ApiProblem(404, 'There is no such transfer.')
  async get(@Param('id', parseIdentifier) id: string): Promise<TransferView> {
    return new TransferView(await this.transfers.get(id));
  }
}
