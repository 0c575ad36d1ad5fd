export { runAndRollBack } from './run-and-roll-back.js';
