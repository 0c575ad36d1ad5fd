import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthCheck, type HealthCheckResult, HealthCheckService, TypeOrmHealthIndicator } from '@nestjs/terminus';

@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly database: TypeOrmHealthIndicator,
  ) {}

  /** Healthy means able to answer and to reach the database. */
  @Get()
  @ApiOperation({ summary: 'Whether the bank is open' })
  @HealthCheck()
  async check(): Promise<HealthCheckResult> {
    return await this.health.check([async () => await this.database.pingCheck('database')]);
  }
}
