import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblem } from '../http/api-problem.decorator.js';
import { parseIdentifier } from '../http/identifier.js';
import { StatementQuery, StatementView } from './statements.dto.js';
import { StatementsService } from './statements.service.js';

@ApiTags('accounts')
@Controller('accounts/:id/statement')
export class StatementsController {
  constructor(private readonly statements: StatementsService) {}

  @Get()
  @ApiOperation({ summary: "Show an account's history, page by page" })
  @ApiOkResponse({ type: StatementView })
  @ApiProblem(400, 'The query is not as described; `errors` names the fields.')
  @ApiProblem(404, 'There is no such account.')
  async page(
    @Param('id', parseIdentifier) id: string,
    @Query() { limit, before }: StatementQuery,
  ): Promise<StatementView> {
    return new StatementView(await this.statements.page(id, limit, before));
  }
}
