// What are SHA-256's functions over four lanes at once? FIPS 180-4 §4.1.2, on 32-bit words held as i32x4.
// In which order they are applied is the business of rounds.ts.
//
// SIMD128 has neither a rotate nor a three-input logic operation, so a rotation costs three instructions and the least
// a compression can cost is 3305 vector operations for 4 × 64 bytes: the compiled module has exactly that number.
// Nested or split rotations have as many operations but a longer dependency chain: measured 4–5 % slower.

@inline
function rotate(x: v128, n: i32): v128 {
  return v128.or(i32x4.shr_u(x, n), i32x4.shl(x, 32 - n))
}

/** Σ0 (4.4). */
@inline
export function bigSigma0(x: v128): v128 {
  return v128.xor(v128.xor(rotate(x, 2), rotate(x, 13)), rotate(x, 22))
}

/** Σ1 (4.5). */
@inline
export function bigSigma1(x: v128): v128 {
  return v128.xor(v128.xor(rotate(x, 6), rotate(x, 11)), rotate(x, 25))
}

/** σ0 (4.6). */
@inline
export function smallSigma0(x: v128): v128 {
  return v128.xor(v128.xor(rotate(x, 7), rotate(x, 18)), i32x4.shr_u(x, 3))
}

/** σ1 (4.7). */
@inline
export function smallSigma1(x: v128): v128 {
  return v128.xor(v128.xor(rotate(x, 17), rotate(x, 19)), i32x4.shr_u(x, 10))
}

/** σ1 of the words in the low half of each 64-bit lane, each given twice: a 64-bit shift then is a rotation. */
@inline
export function smallSigma1Doubled(x: v128): v128 {
  return v128.xor(v128.xor(i64x2.shr_u(x, 17), i64x2.shr_u(x, 19)), i32x4.shr_u(x, 10))
}

/** Ch (4.2), in three operations instead of four. */
@inline
export function choose(e: v128, f: v128, g: v128): v128 {
  return v128.xor(v128.and(v128.xor(f, g), e), g)
}

/** Maj(a, b, c) (4.3) from a ⊕ b, b ⊕ c and b: the first is the second of the next round, which saves an operation. */
@inline
export function majority(ab: v128, bc: v128, b: v128): v128 {
  return v128.xor(v128.and(ab, bc), b)
}

@inline
export function add(x: v128, y: v128): v128 {
  return i32x4.add(x, y)
}

/** Big-endian words to native ones, and back (§3.1). */
@inline
export function swapBytes(x: v128): v128 {
  return v128.swizzle(x, i8x16(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12))
}

/**
 * Transposes a 4 × 4 square of words and swaps their bytes: word i of the four inputs (16 bytes each) becomes row i,
 * 32 bytes after row i − 1. Message words, chaining values and digests all cross between lanes and bytes by this.
 */
@inline
export function transpose(p0: usize, p1: usize, p2: usize, p3: usize, rows: usize): void {
  const x0 = swapBytes(v128.load(p0))
  const x1 = swapBytes(v128.load(p1))
  const x2 = swapBytes(v128.load(p2))
  const x3 = swapBytes(v128.load(p3))
  const y0 = v128.shuffle<i32>(x0, x1, 0, 4, 1, 5)
  const y1 = v128.shuffle<i32>(x0, x1, 2, 6, 3, 7)
  const y2 = v128.shuffle<i32>(x2, x3, 0, 4, 1, 5)
  const y3 = v128.shuffle<i32>(x2, x3, 2, 6, 3, 7)
  v128.store(rows, v128.shuffle<i64>(y0, y2, 0, 2))
  v128.store(rows, v128.shuffle<i64>(y0, y2, 1, 3), 32)
  v128.store(rows, v128.shuffle<i64>(y1, y3, 0, 2), 64)
  v128.store(rows, v128.shuffle<i64>(y1, y3, 1, 3), 96)
}
