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
  readonly #known = new Map<Contender, Counted>();

  constructor(url: string) {
    this.#url = url;
  }

  async of(name: Contender): Promise<Counted> {
    let counted = this.#known.get(name);
    if (counted === undefined) {
      const proxy = await CountingProxy.start(this.#url);
      counted = { proxy, contender: await RunningContender.start(name, proxy.url, 1) };
      this.#known.set(name, counted);
    }
    return counted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { proxy, contender } of this.#known.values()) {
      await contender[Symbol.asyncDispose]();
      await proxy.close();
    }
  }
}
