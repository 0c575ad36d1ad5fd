import { startTestServer } from './test-server.js';

export default async function globalSetup(): Promise<void> {
  const stop = await startTestServer();
  // jest may load the teardown as a module graph of its own; the process is the same.
  (globalThis as { stopTestServer?: () => Promise<void> }).stopTestServer = stop;
}
