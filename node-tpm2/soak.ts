/**
 * Does a TPM connection grow? Quotes again and again, and counts the bytes that C code holds after each tenth.
 *
 *   MALLOC_ARENA_MAX=1 node --expose-gc node-tpm2/soak.ts TCTI [QUOTES]
 *
 * One arena, because glibc tells only of the first, and ESYS allocates on libuv's threads. Exits 1 above 700 bytes a
 * quote: V8's own native memory takes thousands of quotes to settle, but a session that is not given back costs 1.2 KiB.
 */
import { setTimeout } from "node:timers/promises"
import koffi from "koffi"
import { attestationKey, openTpm } from "./index.ts"

const MOST_BYTES_PER_QUOTE = 700
const TENTHS = 10

const libcHeap = koffi.load("libc.so.6").func("mallinfo2", koffi.struct(fields()), [])

function fields(): Record<string, string> {
  const names = [
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
  ]
  return Object.fromEntries(names.map(name => [name, "size_t"]))
}

/** Bytes that are allocated and not freed: the least of a few looks, as V8 gives back its own when it pleases. */
async function bytesInUse(): Promise<number> {
  let least = Infinity
  for (let look = 0; look < 5; look++) {
    globalThis.gc?.()
    await setTimeout(20)
    const { uordblks, hblkhd } = libcHeap()
    least = Math.min(least, Number(uordblks) + Number(hblkhd))
  }
  return least
}

const [tcti = "device:/dev/tpmrm0", quotes = "20000"] = process.argv.slice(2)
const perTenth = Math.ceil(Number(quotes) / TENTHS)
const tpm = await openTpm(tcti, { deadline: 60_000, allowSoftware: true })
const { object: key } = await tpm.createPrimary("endorsement", attestationKey(new Uint8Array(32)))

async function tenth(): Promise<number> {
  for (let round = 0; round < perTenth; round++) {
    await tpm.quote(key, new Uint8Array(32), [{ bank: "sha256", pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }])
  }
  const used = await bytesInUse()
  process.stdout.write(`${used} bytes in use, resident ${process.memoryUsage.rss()}\n`)
  return used
}

const warm = await tenth()
let used = warm
for (let done = 1; done < TENTHS; done++) used = await tenth()
await tpm.close()

const perQuote = (used - warm) / (perTenth * (TENTHS - 1))
process.stdout.write(`${perQuote.toFixed(1)} bytes a quote\n`)
if (perQuote > MOST_BYTES_PER_QUOTE) process.exitCode = 1
