// What can be called from outside? Three ways to run SHA-256's compression (FIPS 180-4 §6.2.2) over whole blocks: one
// message, eight messages side by side, and the 4096-byte blocks of an fs-verity file. Padding of arbitrary messages
// and the order of calls are the caller's (wasm/sha256.ts, lanes.ts, verity.ts); a compression is in rounds.ts.
//
// A chaining value is 32 bytes, the words big-endian: so the last one *is* the digest. `work` is the base of 8192
// bytes laid out in work.ts, aligned to 16 and filled once by prepare().

import { INITIAL_VALUE, ROUND_CONSTANTS } from "./constants"
import { transpose } from "./functions"
import { compressLanes, compressStream } from "./rounds"
import { scheduleLanes } from "./schedule"
import * as at from "./work"

/** Eight lanes take as long as 4.8 (Intel) to 5.2 (Zen 5) single streams: fewer blocks go one by one. */
const FEWEST_LANES: i32 = 5

const BLOCK: usize = 4096

/** Fills the constant part of a work area. */
export function prepare(work: usize): void {
  memory.copy(work + at.CONSTANTS, ROUND_CONSTANTS, 256)
  memory.copy(work + at.INITIAL, INITIAL_VALUE, 32)
  preparePadding(work + at.PADDING_BLOCK, work + at.PADDING_WORDS)
}

/** The last block of every 4096-byte message (§5.1.1) and its schedule in all lanes: this saves a third of its work. */
function preparePadding(block: usize, words: usize): void {
  memory.fill(block, 0, 64)
  store<u8>(block, 0x80)
  store<u64>(block, bswap<u64>(8 * BLOCK), 56)
  transposeBlocks(block, block, block, block, words)
  transposeBlocks(block, block, block, block, words + 16)
  scheduleLanes(words)
}

/** Carries one chaining value over `blocks` (≥ 0) 64-byte blocks at `input`. */
export function stream(work: usize, chain: usize, input: usize, blocks: i32): void {
  compressStream(work, chain, input, blocks)
}

/** Carries eight chaining values, one after the other at `chains`, over `blocks` (≥ 1) blocks each; `inputs` is a table of eight addresses. */
export function lanes(work: usize, chains: usize, inputs: usize, blocks: i32): void {
  spread(chains, work + at.LANE_CHAINS)
  carry(
    work,
    load<u32>(inputs),
    load<u32>(inputs, 4),
    load<u32>(inputs, 8),
    load<u32>(inputs, 12),
    load<u32>(inputs, 16),
    load<u32>(inputs, 20),
    load<u32>(inputs, 24),
    load<u32>(inputs, 28),
    blocks,
  )
  gather(work + at.LANE_CHAINS, chains)
}

/** Writes the digests, 32 bytes each, of `count` consecutive 4096-byte messages at `input`: the leaves of fs-verity. */
export function leaves(work: usize, input: usize, count: i32, digests: usize): void {
  while (count > 0) {
    const done = count < FEWEST_LANES ? 1 : min(count, 8)
    if (done == 1) leaf(work, input)
    else eightLeaves(work, input, done)
    memory.copy(digests, work + at.CHAINS, <usize>done * 32)
    input += <usize>done * BLOCK
    digests += <usize>done * 32
    count -= done
  }
}

function leaf(work: usize, input: usize): void {
  const chain = work + at.CHAINS
  memory.copy(chain, work + at.INITIAL, 32)
  compressStream(work, chain, input, 64)
  compressStream(work, chain, work + at.PADDING_BLOCK, 1)
}

/** Lanes past `count` repeat the last block, and their digests are not used. */
function eightLeaves(work: usize, input: usize, count: i32): void {
  const last = input + <usize>(count - 1) * BLOCK
  startLanes(work)
  carry(
    work,
    input,
    min(input + BLOCK, last),
    min(input + 2 * BLOCK, last),
    min(input + 3 * BLOCK, last),
    min(input + 4 * BLOCK, last),
    min(input + 5 * BLOCK, last),
    min(input + 6 * BLOCK, last),
    min(input + 7 * BLOCK, last),
    64,
  )
  compressLanes(work + at.LANE_CHAINS, work + at.PADDING_WORDS, work + at.CONSTANTS)
  gather(work + at.LANE_CHAINS, work + at.CHAINS)
}

/** The initial value in all eight lanes. */
function startLanes(work: usize): void {
  for (let i: usize = 0; i < 8; ++i) {
    const word = i32x4.splat(bswap<u32>(load<u32>(work + i * 4, at.INITIAL)))
    v128.store(work + i * 32, word, at.LANE_CHAINS)
    v128.store(work + i * 32, word, at.LANE_CHAINS + 16)
  }
}

/** The next block is transposed before the current one is compressed, so that its loads overlap with the rounds: +1 %. */
function carry(
  work: usize,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  p4: usize,
  p5: usize,
  p6: usize,
  p7: usize,
  blocks: i32,
): void {
  let current = work + at.LANE_WORDS
  let next = work + at.NEXT_LANE_WORDS
  transposeBlocks(p0, p1, p2, p3, current)
  transposeBlocks(p4, p5, p6, p7, current + 16)
  for (let i = 1; i < blocks; ++i) {
    p0 += 64
    p1 += 64
    p2 += 64
    p3 += 64
    p4 += 64
    p5 += 64
    p6 += 64
    p7 += 64
    transposeBlocks(p0, p1, p2, p3, next)
    transposeBlocks(p4, p5, p6, p7, next + 16)
    scheduleLanes(current)
    compressLanes(work + at.LANE_CHAINS, current, work + at.CONSTANTS)
    const swap = current
    current = next
    next = swap
  }
  scheduleLanes(current)
  compressLanes(work + at.LANE_CHAINS, current, work + at.CONSTANTS)
}

/** One 64-byte block of each of four messages to 16 rows of four words. */
function transposeBlocks(p0: usize, p1: usize, p2: usize, p3: usize, rows: usize): void {
  transpose(p0, p1, p2, p3, rows)
  transpose(p0 + 16, p1 + 16, p2 + 16, p3 + 16, rows + 128)
  transpose(p0 + 32, p1 + 32, p2 + 32, p3 + 32, rows + 256)
  transpose(p0 + 48, p1 + 48, p2 + 48, p3 + 48, rows + 384)
}

/** Eight chaining values of 32 bytes to eight rows across the lanes. */
function spread(chains: usize, rows: usize): void {
  for (let set: usize = 0; set < 2; ++set) {
    for (let half: usize = 0; half < 2; ++half) {
      const from = chains + set * 128 + half * 16
      transpose(from, from + 32, from + 64, from + 96, rows + half * 128 + set * 16)
    }
  }
}

/** The inverse of spread(). */
function gather(rows: usize, chains: usize): void {
  for (let set: usize = 0; set < 2; ++set) {
    for (let half: usize = 0; half < 2; ++half) {
      const from = rows + half * 128 + set * 16
      transpose(from, from + 32, from + 64, from + 96, chains + set * 128 + half * 16)
    }
  }
}
