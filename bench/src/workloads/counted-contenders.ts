import type { Contender } from '../contenders/contenders.js';
import { CountingProxy } from '../wire/counting-proxy.js';
import { RunningContender } from './running-contender.js';

interface Counted {
  readonly proxy: CountingProxy;
  readonly contender: RunningContender;
}

/** A process of each contender, with one connection behind a proxy of its own, for all that is counted. */
export class CountedContenders implements AsyncDisposable {
  readonly #url: string;
  readonly #known = new Map<Contender, Promise<Counted>>();

  constructor(url: string) {
    this.#url = url;
  }

  of(name: Contender): Promise<Counted> {
    let counted = this.#known.get(name);
    if (counted === undefined) {
      counted = this.#start(name);
      this.#known.set(name, counted);
    }
    return counted;
  }

  async #start(name: Contender): Promise<Counted> {
    const proxy = await CountingProxy.start(this.#url);
    return { proxy, contender: await RunningContender.start(name, proxy.url, 1) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of await Promise.allSettled(this.#known.values())) {
      if (one.status === 'rejected') continue;
      await one.value.contender[Symbol.asyncDispose]();
      await one.value.proxy.close();
    }
  }
}
