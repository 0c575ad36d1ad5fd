import { Body, Controller, Get, Param, Patch, Post, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblem } from '../http/api-problem.decorator.js';
import { parseIdentifier } from '../http/identifier.js';
import type { ResponseHeaders } from '../http/response-headers.js';
import { AccountView, ChangeAccount, OpenAccount } from './accounts.dto.js';
import { AccountsService } from './accounts.service.js';

@ApiTags('accounts')
@Controller('accounts')
export class AccountsController {
  constructor(private readonly accounts: AccountsService) {}

  @Post()
  @ApiOperation({ summary: 'Open an account' })
  @ApiCreatedResponse({ type: AccountView, headers: { Location: { schema: { type: 'string' } } } })
  @ApiProblem(400, 'The body is not as described; `errors` names the fields.')
  @ApiProblem(404, 'There is no such customer.')
  async open(@Body() body: OpenAccount, @Res({ passthrough: true }) response: ResponseHeaders): Promise<AccountView> {
    const account = await this.accounts.open({
      customerId: body.customerId,
      currency: body.currency,
      openingDeposit: BigInt(body.openingDeposit ?? 0),
      overdraftLimit: BigInt(body.overdraftLimit ?? 0),
    });
    response.header('Location', `/accounts/${account.id}`);
    return new AccountView(account);
  }

  @Get(':id')
  @ApiOperation({ summary: 'Show an account' })
  @ApiOkResponse({ type: AccountView })
  @ApiProblem(404, 'There is no such account.')
  async get(@Param('id', parseIdentifier) id: string): Promise<AccountView> {
    return new AccountView(await this.accounts.get(id));
  }

  @Patch(':id')
  @ApiOperation({ summary: 'Freeze, thaw or close an account' })
  @ApiOkResponse({ type: AccountView })
  @ApiProblem(400, 'The body is not as described; `errors` names the fields.')
  @ApiProblem(404, 'There is no such account.')
  @ApiProblem(409, 'The account has changed since the version that the client has seen.')
  @ApiProblem(422, "The account cannot go to that status: it is closed, not empty, or the bank's own.")
  async change(
    @Param('id', parseIdentifier) id: string,
    @Body() { status, version }: ChangeAccount,
  ): Promise<AccountView> {
    return new AccountView(await this.accounts.changeStatus(id, status, version));
  }
}
