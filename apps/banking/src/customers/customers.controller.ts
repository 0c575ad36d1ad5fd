import { Body, Controller, Post } from '@nestjs/common';
import { ApiCreatedResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblem } from '../http/api-problem.decorator.js';
import { CustomersService } from './customers.service.js';
import { CustomerView, RegisterCustomer } from './customers.dto.js';

@ApiTags('customers')
@Controller('customers')
export class CustomersController {
  constructor(private readonly customers: CustomersService) {}

  @Post()
  @ApiOperation({ summary: 'Register a customer' })
  @ApiCreatedResponse({ type: CustomerView })
  @ApiProblem(400, 'The body is not as described; `errors` names the fields.')
  @ApiProblem(409, 'There is a customer with this e-mail address.')
  async register(@Body() { name, email }: RegisterCustomer): Promise<CustomerView> {
    return new CustomerView(await this.customers.register(name, email));
  }
}
