import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

@Injectable()
class Greeting {
  text(): string {
    return 'hello';
  }
}

@Controller()
class GreetingController {
  constructor(private readonly greeting: Greeting) {}

  @Get()
  greet(): string {
    return this.greeting.text();
  }
}

@Module({ controllers: [GreetingController], providers: [Greeting] })
class GreetingModule {}

test('an application wired by constructor types starts and answers', async () => {
  const app = await NestFactory.create(GreetingModule, { logger: false });
  try {
    await app.listen(0, '127.0.0.1');
    const response = await fetch(await app.getUrl());
    expect(await response.text()).toBe('hello');
  } finally {
    await app.close();
  }
});
