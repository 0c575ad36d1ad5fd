const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Has something stopped when this process ends on its own account.
 *
 * On a signal that nobody else listens for, `stop` is awaited and the process then ends by that signal, as it would
 * have without us. Where somebody else listens, ending is theirs. At `exit`, `stopNow` is called.
 *
 * @returns takes all of this back
 */
export function whenProcessEnds(options: {
  readonly stop: () => Promise<void>;
  readonly stopNow: () => void;
  readonly handleSignals: boolean;
}): () => void {
  const onExit = (): void => {
    forget();
    options.stopNow();
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    const others = process.listeners(signal).filter((listener) => !ours.has(listener));
    if (others.length > 0) return;
    void options
      .stop()
      .catch((error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
      })
      .then(() => {
        // The last of several to have stopped lets the process end.
        if (process.listeners(signal).length === 0) process.kill(process.pid, signal);
      });
  };
  const forget = (): void => {
    process.off('exit', onExit);
    ours.delete(onSignal);
    for (const signal of signals) process.off(signal, onSignal);
  };
  process.on('exit', onExit);
  if (options.handleSignals) {
    ours.add(onSignal);
    for (const signal of signals) process.on(signal, onSignal);
  }
  return forget;
}

/** Our own listeners: they must not count as somebody who deals with the signal. */
const ours = new Set<Function>();
