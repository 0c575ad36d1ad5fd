import { ApolloDriver } from '@nestjs/apollo';
import type { ApolloDriverConfig } from '@nestjs/apollo';
import { Module } from '@nestjs/common';
import { Args, GraphQLModule, Mutation, Query, Resolver } from '@nestjs/graphql';
import { DbSession, Transactional } from 'nestjs-uow';
import { listen, type ListeningApp, Note, Notes, NotesDatabase } from '../notes-app.js';

@Resolver()
class NotesResolver {
  constructor(
    private readonly notes: Notes,
    private readonly session: DbSession,
  ) {}

  @Query(() => String)
  async sessionId(): Promise<string> {
    await this.notes.count();
    return this.session.id;
  }

  @Query(() => String)
  @Transactional()
  async count(@Args('text') text: string): Promise<string> {
    await this.notes.write(text);
    return `${text} of ${await this.notes.count()}`;
  }

  @Mutation(() => String)
  @Transactional()
  async write(@Args('text') text: string): Promise<string> {
    await this.notes.write(text);
    if (text === 'fail') throw new Error('undo');
    return text;
  }

  @Mutation(() => String)
  unflushed(@Args('text') text: string): string {
    this.session.add(Object.assign(new Note(), { text }));
    return text;
  }

  /** Leaves its session busy while a parallel field of the same operation ends. */
  @Query(() => String)
  async slowly(@Args('text') text: string): Promise<string> {
    this.session.add(Object.assign(new Note(), { text }));
    await new Promise((resolve) => setTimeout(resolve, 30));
    await this.session.commit();
    return text;
  }
}

let db: NotesDatabase;
let server: ListeningApp;

beforeAll(async () => {
  db = await NotesDatabase.create();
  @Module({
    imports: [
      ...db.imports(),
      GraphQLModule.forRoot<ApolloDriverConfig>({ driver: ApolloDriver, autoSchemaFile: true }),
    ],
    providers: [Notes, NotesResolver],
  })
  class AppModule {}
  server = await listen(AppModule, 'Express');
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await db.clear();
});

interface GraphQLAnswer {
  readonly data?: Record<string, string> | null;
  readonly errors?: readonly { readonly message: string }[];
}

const ask = async (query: string): Promise<GraphQLAnswer> =>
  (await server.post('/graphql', { query })).body as GraphQLAnswer;

test('a resolver’s transaction is committed', async () => {
  expect(await ask('mutation { write(text: "a") }')).toEqual({ data: { write: 'a' } });
  expect(await db.texts()).toEqual(['a']);
});

test('one that throws is rolled back', async () => {
  expect((await ask('mutation { write(text: "fail") }')).errors?.[0]?.message).toBe('undo');
  expect(await db.texts()).toEqual([]);
});

test('parallel fields of one operation share a session', async () => {
  const { data } = await ask('{ one: sessionId two: sessionId }');
  expect(data?.['one']).toBe(data?.['two']);
});

test('parallel transactional fields run one after the other, each in its own transaction', async () => {
  const { data, errors } = await ask('{ one: count(text: "a") two: count(text: "b") }');
  expect(errors).toBeUndefined();
  expect(data).toEqual({ one: 'a of 1', two: 'b of 2' });
});

test('uncommitted work is not acknowledged', async () => {
  expect((await ask('mutation { unflushed(text: "a") }')).errors).toHaveLength(1);
  expect(await db.texts()).toEqual([]);
});

test('a field that ends is not blamed for what a parallel one still works on', async () => {
  const { errors } = await ask('{ slowly(text: "a") sessionId }');
  expect(errors).toBeUndefined();
  expect(await db.texts()).toEqual(['a']);
});
