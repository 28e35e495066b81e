/**
 * Which keys must not be enrolled although a program would use them? Ed25519 points of small order, under which one signature
 * fits many messages; encodings that are not canonical; RSA keys of a broken generator. Whether a key belongs to a TPM:
 * `enrol.ts`.
 */

const p = 2n ** 255n - 19n
const d = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

/** The y coordinates of the eight points whose order divides eight (RFC 8032, 5.1). */
const smallOrder: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  p - 1n,
  2707385501144840649318225287225658788936804267575313519463743609750303402022n,
  p - 2707385501144840649318225287225658788936804267575313519463743609750303402022n,
])

/** Why these 32 bytes are no Ed25519 key to trust, or undefined. */
export function whyWeakEd25519(key: Uint8Array): string | undefined {
  const bytes = Buffer.from(Uint8Array.from(key).toReversed())
  const negative = (bytes[0] ?? 0) >> 7 === 1
  bytes[0] = (bytes[0] ?? 0) & 0x7f
  const y = BigInt(`0x${bytes.toString("hex")}`)
  if (y >= p) return "its encoding is not canonical"
  if (smallOrder.has(y)) return "it is a point of small order"
  if (!onCurve(y)) return "it is no point of the curve"
  return negative && y === 1n ? "its encoding is not canonical" : undefined
}

/** Whether some x fits: x² = (y² − 1) / (dy² + 1), by Euler's criterion. */
function onCurve(y: bigint): boolean {
  const square = mod(y * y)
  const x2 = mod((square - 1n) * power(mod(d * square + 1n), p - 2n))
  return power(x2, (p - 1n) / 2n) <= 1n
}

const mod = (n: bigint): bigint => ((n % p) + p) % p

function power(base: bigint, exponent: bigint): bigint {
  let [result, square] = [1n, base]
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = mod(result * square)
    square = mod(square * square)
  }
  return result
}

const smallPrimes = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97]

/**
 * Whether an RSA modulus has the mark of CVE-2017-15361 (ROCA): modulo each of these primes it is a power of 65537. Of sound
 * keys fewer than one in 10⁸ has it.
 */
export function looksLikeRoca(modulus: Uint8Array): boolean {
  const n = BigInt(`0x${Buffer.from(modulus).toString("hex") || "0"}`)
  return [...smallPrimes, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167].every(prime =>
    powersOf65537(prime).has(Number(n % BigInt(prime))),
  )
}

function powersOf65537(prime: number): ReadonlySet<number> {
  const powers = new Set<number>()
  for (let power = 1; !powers.has(power); power = (power * 65537) % prime) powers.add(power)
  return powers
}
