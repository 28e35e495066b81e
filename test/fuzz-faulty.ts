/** Parsers that do what no parser may, each in one way: what the fuzzer must find. Used by fuzz.test.ts. */
import { Malformed } from "../attestation/wire/codec.ts"
import { Broken, type Target } from "../scripts/fuzz/target.ts"

const faulty = (name: string, take: (bytes: Uint8Array) => void): Target => ({
  ...{ name, grammar: "bytes", refusal: Malformed },
  seeds: () => [Uint8Array.of(1, 2, 3, 4)],
  take,
})

const kept: Uint8Array[][] = []

export const targets: readonly Target[] = [
  faulty("throws another error", bytes => {
    if (bytes.length > 6) throw new RangeError("out of range")
  }),
  faulty("accepts what is broken", bytes => {
    if (bytes[0] === 0xff) throw new Broken("accepted")
  }),
  faulty("writes into its input", bytes => {
    if (bytes.length === 3) bytes[0] = 9
  }),
  faulty("never ends", bytes => {
    while (bytes.length > 5) kept.length = 0
  }),
  faulty("eats the heap", bytes => {
    while (bytes.length > 5) kept.push(Array.from({ length: 1000 }, () => bytes))
  }),
  faulty("keeps buffers", bytes => {
    if (bytes.length > 1) kept.push([new Uint8Array(4 << 20).fill(1)])
  }),
  faulty("refuses its seed", () => {
    throw new Malformed("nothing is good enough")
  }),
  faulty("is sound", bytes => {
    if (bytes.length > 4) throw new Malformed("too long")
  }),
]
