import { GivingUp } from './giving-up.js';

const TIMED_OUT = { code: 'UOW_TRANSACTION_TIMED_OUT' };

const said = (code: string): Error => Object.assign(new Error('from the server'), { code, severity: 'ERROR' });
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const limit = (milliseconds: number, label = 'A.b'): { at: number; milliseconds: number; label: string } => ({
  at: performance.now() + milliseconds,
  milliseconds,
  label,
});

/** One, and what it told. */
function create(): { one: GivingUp; told: { reason: Error; late: boolean }[] } {
  const told: { reason: Error; late: boolean }[] = [];
  return { one: new GivingUp('Outer.method', (reason, late) => told.push({ reason, late })), told };
}

test('it is given up once, for the first reason', () => {
  const { one, told } = create();
  const first = new Error('first');
  one.giveUp(first, 'wish');
  one.giveUp(new Error('second'), 'deadlock');
  expect(told).toEqual([{ reason: first, late: false }]);
  expect(() => {
    one.assertNot();
  }).toThrow(first);
});

test('the earliest of several limits counts, and one that was taken away does not', async () => {
  const { one, told } = create();
  one.limit(limit(60_000));
  const undo = one.limit(limit(1));
  undo();
  await soon();
  expect(told).toEqual([]);
  one.limit(limit(1, 'Inner.method'));
  await soon();
  expect(told).toMatchObject([{ reason: TIMED_OUT }]);
  expect(told[0]?.reason.message).toMatch(/Outer\.method ran longer than the 1 ms that Inner\.method allows/);
  one.stop();
});

test('the signal is aborted with the reason', () => {
  const { one } = create();
  one.limit(limit(60_000));
  const reason = new Error('no');
  one.giveUp(reason, 'wish');
  expect([one.signal?.aborted, one.signal?.reason]).toEqual([true, reason]);
  one.stop();
});

test('what is inside is given up with it, and has no more time', () => {
  const outer = create();
  const inner = create();
  outer.one.limit(limit(60_000));
  inner.one.inherit(outer.one);
  expect(inner.one.timeLeft).toBeLessThanOrEqual(60_000);
  const reason = new Error('no');
  outer.one.giveUp(reason, 'wish');
  expect(inner.one.reason).toBe(reason);
  inner.one.stop();
  outer.one.stop();
});

test('what has ended inside is not given up any more', () => {
  const outer = create();
  const inner = create();
  inner.one.inherit(outer.one);
  inner.one.stop();
  outer.one.giveUp(new Error('no'), 'wish');
  expect(inner.told).toEqual([]);
});

describe('once COMMIT is on its way', () => {
  test.each([
    ['wish', false, 0],
    ['wish', true, 0],
    ['deadline', false, 0],
    ['deadline', true, 1],
    ['deadlock', false, 1],
    ['deadlock', true, 1],
  ] as const)('a %s with work in front of it: %p is told %d times, late', (urgency, withWork, times) => {
    const { one, told } = create();
    one.startCommitting(withWork);
    one.giveUp(new Error('no'), urgency);
    expect(told.map(({ late }) => late)).toEqual(Array(times).fill(true));
    expect(one.reason).toBeNull();
  });

  test('a cancelled exchange then failed for the late reason', () => {
    const { one } = create();
    const reason = new Error('deadlock');
    one.startCommitting(false);
    one.giveUp(reason, 'deadlock');
    expect(one.behind(said('40001'))).toBeNull();
    expect(one.behind(said('57014'))).toBe(reason);
  });
});

describe('what the server says', () => {
  test('25P04 is the deadline, whether the connection was in use or idle', () => {
    const used = create();
    used.one.limit(limit(-1));
    expect(used.one.behind(said('25P04'))).toMatchObject(TIMED_OUT);
    const idle = create();
    idle.one.noteLost(said('25P04'));
    expect(idle.one.reason).toMatchObject(TIMED_OUT);
    for (const { one } of [used, idle]) one.stop();
  });

  test('25P04 before the deadline is a limit of the server’s own, and says so', () => {
    const { one } = create();
    one.limit(limit(60_000));
    expect(one.behind(said('25P04'))?.message).toContain("the server's transaction_timeout");
    one.stop();
  });

  test('57014 is the deadline when that has passed, and no reason of ours before', () => {
    const { one } = create();
    expect(one.behind(said('57014'))).toBeNull();
    one.limit(limit(60_000));
    expect(one.behind(said('57014'))).toBeNull();
    one.limit(limit(-1));
    expect(one.behind(said('57014'))).toMatchObject(TIMED_OUT);
    one.stop();
  });

  test('another loss of the connection gives nothing up', () => {
    const { one } = create();
    one.noteLost(said('57P01'));
    expect(one.reason).toBeNull();
  });
});
