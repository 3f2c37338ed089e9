/*
 * Loaded into the gateways of these tests (`--import`): at SIGUSR2 it collects the garbage and says, as a line of the log, what is
 * left. What is resident would say what the allocator keeps; this says what the gateway holds.
 */
import { getHeapCodeStatistics } from 'node:v8';
import { collect } from '../support/collect.js';

/** The line's message. */
export const HELD = 'held memory';

/**
 * Bytes that are held once nothing can be collected any more: the heap, and the buffers outside of it. Without what V8 made of the
 * code, which grows as long as something is run for the first time, or often, and is no trace of anybody.
 */
export function heldBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  const { code_and_metadata_size: compiled, bytecode_and_metadata_size: bytecode } = getHeapCodeStatistics();
  return heapUsed + external - compiled - bytecode;
}

process.on('SIGUSR2', () => {
  process.stderr.write(`${JSON.stringify({ msg: HELD, bytes: heldBytes() })}\n`);
});
