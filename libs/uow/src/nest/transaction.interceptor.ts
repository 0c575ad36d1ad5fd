import { Inject, Injectable } from '@nestjs/common';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { UowApplication } from './uow-application.js';

@Injectable()
export class TransactionInterceptor implements NestInterceptor {
  readonly #application: UowApplication;

  constructor(@Inject(UowApplication) application: UowApplication) {
    this.#application = application;
  }

  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    void this.#application;
    return next.handle();
  }
}
