import { applyDecorators, Injectable } from '@nestjs/common';
import { Transactional } from 'nestjs-uow';
import { Observable, of } from 'rxjs';

/**
 * What `@Transactional()` takes and refuses at compile time. `npm run typecheck` proves it: an error that is
 * expected here and does not come is an error itself.
 */

interface Repository<T> {
  load(id: number): Promise<T>;
}

abstract class Loader<T> {
  abstract load(id: number): Promise<T>;
  abstract watch(id: number): Observable<T>;
}

class Compiles extends Loader<string> implements Repository<string> {
  @Transactional()
  async promise(): Promise<void> {}

  @Transactional({ isolation: 'SERIALIZABLE', readOnly: true, timeout: 1_000 })
  options(): Promise<number> {
    return Promise.resolve(1);
  }

  @Transactional()
  async generic<T extends object>(value: T, ...rest: readonly T[]): Promise<T[]> {
    return [value, ...rest];
  }

  @Transactional()
  genericResult<T>(value: T): Promise<T> {
    return Promise.resolve(value);
  }

  overloaded(id: number): Promise<number>;
  overloaded(id: string): Promise<string>;
  @Transactional()
  async overloaded(id: number | string): Promise<number | string> {
    return id;
  }

  @Transactional()
  async load(id: number): Promise<string> {
    return String(id);
  }

  @Transactional()
  watch(id: number): Observable<string> {
    return of(String(id));
  }

  @Transactional()
  async *generate(): AsyncGenerator<number> {
    yield 1;
  }

  @Transactional()
  iterable(): AsyncIterable<number> {
    return this.generate();
  }

  @Transactional()
  async fluent(): Promise<this> {
    return this;
  }

  @Transactional()
  thenable(): PromiseLike<number> {
    return Promise.resolve(1);
  }

  @Transactional()
  async withDefaults(text = 'a', options: { deep?: boolean } = {}): Promise<string> {
    return text + String(options.deep);
  }

  @Transactional()
  protected async protectedMethod(): Promise<void> {}

  @Transactional()
  static async staticMethod(): Promise<void> {}

  @Transactional()
  anything(): any {
    return Promise.resolve(1);
  }
}

@Transactional({ readOnly: true })
@Injectable()
class CompilesOnAClass {
  plain(): string {
    return 'a';
  }
}

@Transactional()
abstract class CompilesOnAnAbstractClass {
  abstract work(): Promise<void>;
}

const ReadTransaction = (): ClassDecorator & MethodDecorator => applyDecorators(Transactional({ readOnly: true }));

class CompilesComposed {
  @ReadTransaction()
  async read(): Promise<number> {
    return 1;
  }
}

/** Never called: only its types are looked at. */
export const refused = (): unknown => {
  class Refused {
    // @ts-expect-error -- a text is there before its transaction could commit
    @Transactional()
    text(): string {
      return 'a';
    }

    // @ts-expect-error -- nothing to wait for
    @Transactional()
    nothing(): void {}

    // @ts-expect-error -- the promise may be missing
    @Transactional()
    perhaps(): Promise<number> | undefined {
      return undefined;
    }

    // @ts-expect-error -- a plain generator is iterated without waiting
    @Transactional()
    *generate(): Generator<number> {
      yield 1;
    }

    // @ts-expect-error -- an accessor is no method
    @Transactional()
    get value(): string {
      return this.constructor.name;
    }

    // @ts-expect-error -- an unknown propagation
    @Transactional({ propagation: 'SOMETIMES' })
    async unknownPropagation(): Promise<void> {}

    // @ts-expect-error -- an unknown option
    @Transactional({ propogation: 'REQUIRED' })
    async misspelt(): Promise<void> {}

    // @ts-expect-error -- seconds as a text
    @Transactional({ timeout: '5s' })
    async textTimeout(): Promise<void> {}
  }
  return Refused;
};

test('@Transactional() leaves the classes that it decorates usable', () => {
  for (const type of [Compiles, CompilesOnAClass, CompilesOnAnAbstractClass, CompilesComposed]) {
    expect(typeof type).toBe('function');
  }
});

test('@Transactional() on a property that holds no method says what to use instead', () => {
  expect(() => {
    class Wrong {
      declare work: () => Promise<void>;
    }
    (Transactional() as unknown as PropertyDecorator)(Wrong.prototype, 'work');
  }).toThrow(/Wrong\.work, which is no method/);
});
