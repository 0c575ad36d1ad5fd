// #region subscribe
import { subscribe } from 'node:diagnostics_channel';

subscribe('nestjs-uow:warning', (message) => {
  const { code, message: text } = message as { code: string; message: string; error?: unknown };
  metrics.count(code, text);
});
// #endregion

/** Stands for whatever the reader counts with. */
export const metrics = {
  counted: [] as string[],
  count(code: string, _text: string): void {
    this.counted.push(code);
  },
};
