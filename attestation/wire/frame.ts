/** How are messages told apart on a stream? By a u32 length before each, bounded before anything is kept. */
import { Malformed } from "./codec.ts"

/** `payload` with its length in front. */
export function frame(payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(payload.length)
  return new Uint8Array(Buffer.concat([head, payload]))
}

/** Takes bytes as they come and gives frames as they are complete. */
export class Unframer {
  readonly #limit: number
  #kept: Buffer = Buffer.alloc(0)

  /** @param limit the most bytes that one frame may hold */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** The frames completed by `chunk`. Throws {@link Malformed} at the first frame that claims more than the limit. */
  push(chunk: Uint8Array): Uint8Array[] {
    this.#kept = Buffer.concat([this.#kept, chunk])
    const frames: Uint8Array[] = []
    while (this.#kept.length >= 4) {
      const length = this.#kept.readUInt32BE()
      if (length > this.#limit) throw new Malformed(`a frame of ${length} bytes exceeds the limit of ${this.#limit}`)
      if (this.#kept.length < 4 + length) break
      frames.push(new Uint8Array(this.#kept.subarray(4, 4 + length)))
      this.#kept = this.#kept.subarray(4 + length)
    }
    return frames
  }

  /** Bytes of a frame that has not come whole. */
  get pending(): number {
    return this.#kept.length
  }
}
