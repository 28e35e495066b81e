// What are the SHA-256 digests of many messages, eight side by side? Faster than one after the other in the single
// stream once five are under way, and than node:crypto where the CPU has no SHA instructions; with them it never is.
// When to choose which engine is the caller's decision.

import { type Core, openCore } from "./core.ts"
import { CHAINS, DIGEST_BYTES, INPUTS, MESSAGE_BLOCK, WINDOW, WINDOW_BYTES } from "./memory.ts"
import { padding } from "./sha256.ts"

const LANES = 8
const LANE_BYTES = WINDOW_BYTES / LANES
/** Eight lanes take as long as 4.8 (Intel) to 5.2 (Zen 5) single streams: fewer messages go one by one. */
const FEWEST_TOGETHER = 5

/** A message that is read piece by piece. */
export interface Source {
  /** Puts the next bytes at the start of `into` (room for at least 64 KiB) and returns how many; 0 at the end. */
  read(into: Uint8Array<ArrayBuffer>): number
}

/** One of the eight places, with a message in it: a part of the window and a chaining value in the core's memory. */
interface Lane {
  readonly message: number
  readonly source: Source
  readonly chain: number
  readonly base: number
  /** The bytes that are not hashed yet lie from here… */
  from: number
  /** …to before here; the message's own or its padding. */
  to: number
  length: number
  ended: boolean
}

const blocksIn = (lane: Lane): number => Math.floor((lane.to - lane.from) / MESSAGE_BLOCK)

/** Any number of messages under way. It holds its core's window. */
export class Lanes {
  readonly #core: Core
  readonly #sources: readonly Source[]
  readonly #lanes: (Lane | undefined)[] = Array.from({ length: LANES }, () => undefined)
  readonly #digests: Uint8Array[] = []
  #begun = 0

  constructor(sources: readonly Source[], core: Core) {
    this.#core = core
    this.#sources = sources
    core.hold(this)
  }

  /**
   * Reads and hashes on, at most 128 KiB of each of eight messages, so that a caller can pause or stop in between.
   * Returns whether there is more to do. Throws what a source throws.
   */
  step(): boolean {
    this.#core.assertHeldBy(this)
    const lanes = this.#refill()
    if (lanes.length >= FEWEST_TOGETHER) this.#together(lanes)
    else for (const lane of lanes) this.#alone(lane)
    return lanes.length > 0
  }

  /** The 32-byte digests in the order of the sources. @throws before step() returned false. */
  digests(): readonly Uint8Array[] {
    const all = this.#sources.map((_, i) => this.#digests[i])
    const done = all.filter(digest => digest !== undefined)
    if (done.length < all.length) throw new Error("messages are still under way: call step() until it returns false")
    return done
  }

  /** Brings every lane to at least one whole block, and gives the places of finished messages to the next. */
  #refill(): Lane[] {
    return this.#lanes.flatMap((before, place) => {
      let lane = before
      while (lane === undefined || !this.#fill(lane)) {
        if (lane !== undefined) this.#digests[lane.message] = this.#core.digestAt(lane.chain)
        lane = this.#next(place)
        if (lane === undefined) break
      }
      this.#lanes[place] = lane
      return lane === undefined ? [] : [lane]
    })
  }

  #next(place: number): Lane | undefined {
    const message = this.#begun
    const source = this.#sources[message]
    if (source === undefined) return undefined
    this.#begun += 1
    const base = WINDOW + place * LANE_BYTES
    const chain = CHAINS + place * DIGEST_BYTES
    this.#core.start(chain)
    return { message, source, chain, base, from: base, to: base, length: 0, ended: false }
  }

  /** Reads until there is a whole block. False when the message and its padding are hashed. */
  #fill(lane: Lane): boolean {
    while (blocksIn(lane) === 0) {
      if (lane.ended) return false
      this.#core.memory.copyWithin(lane.base, lane.from, lane.to)
      lane.to -= lane.from - lane.base
      lane.from = lane.base
      this.#read(lane)
    }
    return true
  }

  /** Whole blocks are asked for, so that reads stay aligned as long as a source gives what it is asked for. */
  #read(lane: Lane): void {
    const rest = lane.to - lane.base
    const room = this.#core.memory.subarray(lane.to, lane.base + LANE_BYTES)
    const count = lane.source.read(room)
    if (!Number.isInteger(count) || count < 0 || count > room.length) {
      throw new RangeError(`a source said it put ${count} bytes into ${room.length}`)
    }
    lane.length += count
    lane.to += count
    if (count > 0) return
    const end = padding(lane.length)
    this.#core.memory.set(end, lane.base + rest)
    lane.to += end.length
    lane.ended = true
  }

  /** As many blocks as every lane has. A place without a message hashes another's bytes, to no effect. */
  #together(lanes: readonly Lane[]): void {
    const blocks = Math.min(...lanes.map(blocksIn))
    const idle = lanes[0]?.from ?? WINDOW
    for (const [place, lane] of this.#lanes.entries()) {
      this.#core.view.setUint32(INPUTS + place * 4, lane?.from ?? idle, true)
    }
    this.#core.lanes(CHAINS, INPUTS, blocks)
    for (const lane of lanes) lane.from += blocks * MESSAGE_BLOCK
  }

  #alone(lane: Lane): void {
    const blocks = blocksIn(lane)
    this.#core.stream(lane.chain, lane.from, blocks)
    lane.from += blocks * MESSAGE_BLOCK
  }
}

/** Begins the digests of any number of messages, taken up in this order: put the longest first. */
export const createLanes = (sources: readonly Source[], core: Core = openCore()): Lanes => new Lanes(sources, core)

/** A message that lies in memory as a source. */
export function sourceOf(message: Uint8Array): Source {
  let at = 0
  return {
    read(into) {
      const piece = message.subarray(at, at + into.length)
      into.set(piece)
      at += piece.length
      return piece.length
    },
  }
}

/** The 32-byte digests of messages that lie in memory, in their order. */
export function sha256Lanes(messages: readonly Uint8Array[], core: Core = openCore()): readonly Uint8Array[] {
  const lanes = createLanes(messages.map(sourceOf), core)
  while (lanes.step());
  return lanes.digests()
}
