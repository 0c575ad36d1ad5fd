import { accounts } from '../bank/bank-schema.js';
import type { Find } from './contender.js';

/** @param findOne as the contender's users write it */
export function findInTurn(findOne: (id: number) => PromiseLike<unknown>): Find {
  let id = 0;
  return async (times) => {
    for (let i = 0; i < times; i++) {
      id = (id % accounts) + 1;
      await findOne(id);
    }
  };
}
