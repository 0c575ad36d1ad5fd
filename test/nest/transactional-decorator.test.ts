import 'reflect-metadata';
import {
  applyDecorators,
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  Param,
  Query,
  Scope,
  SetMetadata,
  UseGuards,
} from '@nestjs/common';
import type { CanActivate, ExecutionContext, INestApplicationContext } from '@nestjs/common';
import { ContextIdFactory, ModuleRef, Reflector } from '@nestjs/core';
import { ApiOperation, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Transactional, TransactionManager } from 'nestjs-uow';
import { listen, Notes, NotesDatabase } from './notes-app.js';

let db: NotesDatabase;

beforeAll(async () => {
  db = await NotesDatabase.create();
});

afterAll(async () => {
  await db[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await db.clear();
});

/** Writes and fails, so that what stays tells whether a transaction was around. */
class Base {
  @Inject(Notes)
  protected readonly notes!: Notes;

  @Inject(TransactionManager)
  protected readonly transactions!: TransactionManager;

  @Transactional({ label: 'the base’s own' })
  async inherited(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }

  @Transactional({ label: 'the base’s own' })
  async overridden(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }

  async plain(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }
}

@Injectable()
class Derived extends Base {
  override async overridden(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }

  async callsSuper(): Promise<string | undefined> {
    return await super.overridden();
  }
}

@Injectable()
@Transactional({ label: 'the class’s' })
class DerivedByClass extends Base {
  async own(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }

  @Transactional({ label: 'the method’s' })
  async declared(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }

  async readsOptions(): Promise<boolean | undefined> {
    return this.transactions.current()?.readOnly;
  }
}

@Injectable()
@Transactional({ label: 'an inherited class’s' })
class ByClass {
  @Inject(TransactionManager)
  protected readonly transactions!: TransactionManager;

  async declaredInBase(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }
}

@Injectable()
class DerivedFromByClass extends ByClass {
  async declaredInDerived(): Promise<string | undefined> {
    return this.transactions.current()?.label;
  }
}

const ReadTransaction = (label: string): MethodDecorator =>
  applyDecorators(Transactional({ readOnly: true, label }), SetMetadata('kind', 'read'));

@Injectable()
class Composed {
  constructor(private readonly transactions: TransactionManager) {}

  @ReadTransaction('composed')
  async composed(): Promise<[string | undefined, boolean | undefined]> {
    const current = this.transactions.current();
    return [current?.label, current?.readOnly];
  }

  @Transactional({ label: 'the upper one' })
  @ReadTransaction('the lower one')
  async twice(): Promise<[string | undefined, boolean | undefined]> {
    const current = this.transactions.current();
    return [current?.label, current?.readOnly];
  }
}

@Injectable({ scope: Scope.TRANSIENT })
class Transient {
  constructor(private readonly notes: Notes) {}

  @Transactional()
  async fails(): Promise<void> {
    await this.notes.write('gone');
    throw new Error('undo');
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest extends Transient {}

/** Made by `new`, not by Nest. */
class ByHand {
  constructor(private readonly notes: Notes) {}

  @Transactional()
  async fails(): Promise<void> {
    await this.notes.write('gone');
    throw new Error('undo');
  }

  @Transactional()
  static async staticFails(notes: Notes): Promise<void> {
    await notes.write('gone');
    throw new Error('undo');
  }
}

describe('where a method is declared and where it is called', () => {
  let app: INestApplicationContext;

  beforeAll(async () => {
    app = await db.start([
      Derived,
      DerivedByClass,
      DerivedFromByClass,
      Composed,
      Transient,
      PerRequest,
      { provide: 'made by a factory', inject: [Notes], useFactory: (notes: Notes) => new ByHand(notes) },
    ]);
  });

  afterAll(async () => {
    await app.close();
  });

  test('a method that is inherited keeps its declaration', async () => {
    expect(await app.get(Derived).inherited()).toBe('the base’s own');
  });

  test('a method that overrides a declared one is not transactional by that', async () => {
    expect(await app.get(Derived).overridden()).toBeUndefined();
  });

  test('super.method() is, as declared there', async () => {
    expect(await app.get(Derived).callsSuper()).toBe('the base’s own');
  });

  test('a class’s declaration covers the methods that it declares', async () => {
    expect(await app.get(DerivedByClass).own()).toBe('the class’s');
  });

  test('a method’s own declaration replaces the class’s', async () => {
    expect(await app.get(DerivedByClass).declared()).toBe('the method’s');
  });

  test('a class’s declaration does not reach up to inherited methods', async () => {
    expect(await app.get(DerivedByClass).plain()).toBeUndefined();
    expect(await app.get(DerivedByClass).inherited()).toBe('the base’s own');
  });

  test('a class’s declaration holds for its methods in a derived class', async () => {
    expect(await app.get(DerivedFromByClass).declaredInBase()).toBe('an inherited class’s');
  });

  test('a class’s declaration reaches down to the methods of a derived class, as in Spring', async () => {
    expect(await app.get(DerivedFromByClass).declaredInDerived()).toBe('an inherited class’s');
  });

  test('a composed decorator works as its parts', async () => {
    expect(await app.get(Composed).composed()).toEqual(['composed', true]);
    expect(Reflect.getMetadata('kind', Composed.prototype.composed)).toBe('read');
  });

  test('of two declarations the upper one holds', async () => {
    expect(await app.get(Composed).twice()).toEqual(['the upper one', false]);
    expect(Reflect.getMetadata('kind', Composed.prototype.twice)).toBe('read');
  });

  test.each([
    ['transient', async () => await app.resolve(Transient)],
    [
      'request-scoped',
      async () => await app.get(ModuleRef).resolve(PerRequest, ContextIdFactory.create(), { strict: false }),
    ],
  ])('a %s provider is found by its application', async (_name, resolve) => {
    const provider = await resolve();
    await expect(provider.fails()).rejects.toThrow('undo');
    expect(await db.texts()).toEqual([]);
  });

  test.each([
    ['by a factory', () => app.get<ByHand>('made by a factory')],
    ['by new', () => new ByHand(app.get(Notes))],
  ])('an object made %s works inside a context', async (_name, make) => {
    const object = make();
    await expect(
      app.get(TransactionManager).runInContext('a job', async () => {
        await object.fails();
      }),
    ).rejects.toThrow('undo');
    expect(await db.texts()).toEqual([]);
  });

  test('a static method works inside a context', async () => {
    await expect(
      app.get(TransactionManager).runInContext('a job', async () => await ByHand.staticFails(app.get(Notes))),
    ).rejects.toThrow('undo');
    expect(await db.texts()).toEqual([]);
  });

  test('outside everything an object made by new says what to do', async () => {
    const failure: unknown = await new ByHand({} as Notes).fails().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'UOW_NO_APPLICATION' });
    expect((failure as Error).message).toMatch(/ByHand\.fails .*Test\.createTestingModule/s);
  });
});

@Injectable()
class RoleGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    return this.reflector.get('role', context.getHandler()) === 'teller';
  }
}

@Controller()
class DecoratedController {
  constructor(private readonly notes: Notes) {}

  @Transactional()
  @Get('above/:id')
  @SetMetadata('role', 'teller')
  @UseGuards(RoleGuard)
  @ApiOperation({ summary: 'decorated above' })
  async above(@Param('id') id: string, @Query('text') text: string): Promise<string> {
    await this.notes.write(text);
    if (id === 'fail') throw new Error('undo');
    return id;
  }

  @Get('below/:id')
  @SetMetadata('role', 'teller')
  @UseGuards(RoleGuard)
  @ApiOperation({ summary: 'decorated below' })
  @Transactional()
  async below(@Param('id') id: string, @Query('text') text: string): Promise<string> {
    return await this.above(id, text);
  }

  @Get('refused')
  @UseGuards(RoleGuard)
  @Transactional()
  async refused(): Promise<void> {}
}

@Transactional()
@Controller('by-class')
class DecoratedByClass {
  constructor(private readonly notes: Notes) {}

  @Get(':id')
  @SetMetadata('role', 'teller')
  @UseGuards(RoleGuard)
  @ApiOperation({ summary: 'by its class' })
  async byClass(@Param('id') id: string, @Query('text') text: string): Promise<string> {
    await this.notes.write(text);
    if (id === 'fail') throw new Error('undo');
    return id;
  }
}

describe('what Nest knows of a method', () => {
  @Module({})
  class Root {}

  test.each(['/above', '/below', '/by-class'])('routes, guards, pipes and parameters of %s survive', async (path) => {
    await using server = await listen(
      Module({
        imports: db.imports(),
        controllers: [DecoratedController, DecoratedByClass],
        providers: [Notes],
      })(Root) ?? Root,
      'Express',
    );
    expect(await server.get(`${path}/7?text=a`)).toEqual({ status: 200, body: 7 });
    expect(await server.get(`${path}/fail?text=b`)).toMatchObject({ status: 500 });
    expect(await server.get('/refused')).toMatchObject({ status: 403 });
    expect(await db.texts()).toEqual(['a']);
  });

  test('OpenAPI descriptions survive, above and below', async () => {
    Module({
      imports: db.imports(),
      controllers: [DecoratedController, DecoratedByClass],
      providers: [Notes],
    })(Root);
    await using server = await listen(Root, 'Express');
    const { paths } = SwaggerModule.createDocument(server.app, new DocumentBuilder().build());
    expect(paths['/above/{id}']?.get?.summary).toBe('decorated above');
    expect(paths['/below/{id}']?.get?.summary).toBe('decorated below');
    expect(paths['/by-class/{id}']?.get?.summary).toBe('by its class');
    expect(paths['/above/{id}']?.get?.parameters).toHaveLength(2);
  });

  test('name and length of the method survive', () => {
    const { above } = DecoratedController.prototype;
    expect([above.name, above.length]).toEqual(['above', 2]);
    const { byClass } = DecoratedByClass.prototype;
    expect([byClass.name, byClass.length]).toEqual(['byClass', 2]);
  });

  test('nothing enumerable is added to the class or its objects', () => {
    const keys: string[] = [];
    for (const key in new ByHand({} as Notes)) keys.push(key);
    expect(keys).toEqual(['notes']);
    expect(Object.keys(DecoratedController.prototype)).toEqual([]);
  });
});
