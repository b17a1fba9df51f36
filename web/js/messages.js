/** What the user is told of an error. */

import { EngineError } from './painter.js';
import { text, UserError } from './texts.js';

const ENGINE_ERRORS = { load: 'errorLoad', memory: 'errorMemory', engine: 'errorEngine' };

/** @param {unknown} error */
export function messageOf(error) {
  if (error instanceof UserError) return error.message;
  return text(error instanceof EngineError ? ENGINE_ERRORS[error.reason] : 'errorEngine');
}
