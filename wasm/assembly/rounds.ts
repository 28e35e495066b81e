// Written by wasm/generate.ts: change that, not this.
// What is one compression (FIPS 180-4 §6.2.2), in eight lanes and in one? Which blocks it is given is for index.ts.
import { add, bigSigma0, bigSigma1, choose, majority, smallSigma0, smallSigma1Doubled, swapBytes } from "./functions"
import { CONSTANTS, STREAM_SUMS } from "./work"

/** One block in each of eight lanes: 8 rows of 32 bytes at `chains`, the 64 of its schedule at `words`. */
export function compressLanes(chains: usize, words: usize, constants: usize): void {
  let ax: v128, ay: v128, bx: v128, by: v128, cx: v128, cy: v128, dx: v128, dy: v128, ex: v128, ey: v128, fx: v128, fy: v128, gx: v128, gy: v128, hx: v128, hy: v128, tx: v128, ty: v128, wx: v128, wy: v128, abx: v128, aby: v128, bcx: v128, bcy: v128, k: v128
  ax = v128.load(chains, 0); ay = v128.load(chains, 16)
  bx = v128.load(chains, 32); by = v128.load(chains, 48)
  cx = v128.load(chains, 64); cy = v128.load(chains, 80)
  dx = v128.load(chains, 96); dy = v128.load(chains, 112)
  ex = v128.load(chains, 128); ey = v128.load(chains, 144)
  fx = v128.load(chains, 160); fy = v128.load(chains, 176)
  gx = v128.load(chains, 192); gy = v128.load(chains, 208)
  hx = v128.load(chains, 224); hy = v128.load(chains, 240)
  bcx = v128.xor(bx, cx); bcy = v128.xor(by, cy)
  for (let i = 0; i < 8; ++i) {
    // rounds 0, 8 … 56
    k = v128.load32_splat(constants, 0)
    wx = v128.load(words, 0); wy = v128.load(words, 16)
    tx = add(add(add(add(wx, k), hx), choose(ex, fx, gx)), bigSigma1(ex)); ty = add(add(add(add(wy, k), hy), choose(ey, fy, gy)), bigSigma1(ey))
    dx = add(dx, tx); dy = add(dy, ty)
    // ab is bc of the next round: a ⊕ b, then b ⊕ c
    abx = v128.xor(ax, bx); aby = v128.xor(ay, by)
    hx = add(add(tx, majority(abx, bcx, bx)), bigSigma0(ax)); hy = add(add(ty, majority(aby, bcy, by)), bigSigma0(ay))
    bcx = abx; bcy = aby
    // rounds 1, 9 … 57
    k = v128.load32_splat(constants, 4)
    wx = v128.load(words, 32); wy = v128.load(words, 48)
    tx = add(add(add(add(wx, k), gx), choose(dx, ex, fx)), bigSigma1(dx)); ty = add(add(add(add(wy, k), gy), choose(dy, ey, fy)), bigSigma1(dy))
    cx = add(cx, tx); cy = add(cy, ty)
    // ab is bc of the next round: h ⊕ a, then a ⊕ b
    abx = v128.xor(hx, ax); aby = v128.xor(hy, ay)
    gx = add(add(tx, majority(abx, bcx, ax)), bigSigma0(hx)); gy = add(add(ty, majority(aby, bcy, ay)), bigSigma0(hy))
    bcx = abx; bcy = aby
    // rounds 2, 10 … 58
    k = v128.load32_splat(constants, 8)
    wx = v128.load(words, 64); wy = v128.load(words, 80)
    tx = add(add(add(add(wx, k), fx), choose(cx, dx, ex)), bigSigma1(cx)); ty = add(add(add(add(wy, k), fy), choose(cy, dy, ey)), bigSigma1(cy))
    bx = add(bx, tx); by = add(by, ty)
    // ab is bc of the next round: g ⊕ h, then h ⊕ a
    abx = v128.xor(gx, hx); aby = v128.xor(gy, hy)
    fx = add(add(tx, majority(abx, bcx, hx)), bigSigma0(gx)); fy = add(add(ty, majority(aby, bcy, hy)), bigSigma0(gy))
    bcx = abx; bcy = aby
    // rounds 3, 11 … 59
    k = v128.load32_splat(constants, 12)
    wx = v128.load(words, 96); wy = v128.load(words, 112)
    tx = add(add(add(add(wx, k), ex), choose(bx, cx, dx)), bigSigma1(bx)); ty = add(add(add(add(wy, k), ey), choose(by, cy, dy)), bigSigma1(by))
    ax = add(ax, tx); ay = add(ay, ty)
    // ab is bc of the next round: f ⊕ g, then g ⊕ h
    abx = v128.xor(fx, gx); aby = v128.xor(fy, gy)
    ex = add(add(tx, majority(abx, bcx, gx)), bigSigma0(fx)); ey = add(add(ty, majority(aby, bcy, gy)), bigSigma0(fy))
    bcx = abx; bcy = aby
    // rounds 4, 12 … 60
    k = v128.load32_splat(constants, 16)
    wx = v128.load(words, 128); wy = v128.load(words, 144)
    tx = add(add(add(add(wx, k), dx), choose(ax, bx, cx)), bigSigma1(ax)); ty = add(add(add(add(wy, k), dy), choose(ay, by, cy)), bigSigma1(ay))
    hx = add(hx, tx); hy = add(hy, ty)
    // ab is bc of the next round: e ⊕ f, then f ⊕ g
    abx = v128.xor(ex, fx); aby = v128.xor(ey, fy)
    dx = add(add(tx, majority(abx, bcx, fx)), bigSigma0(ex)); dy = add(add(ty, majority(aby, bcy, fy)), bigSigma0(ey))
    bcx = abx; bcy = aby
    // rounds 5, 13 … 61
    k = v128.load32_splat(constants, 20)
    wx = v128.load(words, 160); wy = v128.load(words, 176)
    tx = add(add(add(add(wx, k), cx), choose(hx, ax, bx)), bigSigma1(hx)); ty = add(add(add(add(wy, k), cy), choose(hy, ay, by)), bigSigma1(hy))
    gx = add(gx, tx); gy = add(gy, ty)
    // ab is bc of the next round: d ⊕ e, then e ⊕ f
    abx = v128.xor(dx, ex); aby = v128.xor(dy, ey)
    cx = add(add(tx, majority(abx, bcx, ex)), bigSigma0(dx)); cy = add(add(ty, majority(aby, bcy, ey)), bigSigma0(dy))
    bcx = abx; bcy = aby
    // rounds 6, 14 … 62
    k = v128.load32_splat(constants, 24)
    wx = v128.load(words, 192); wy = v128.load(words, 208)
    tx = add(add(add(add(wx, k), bx), choose(gx, hx, ax)), bigSigma1(gx)); ty = add(add(add(add(wy, k), by), choose(gy, hy, ay)), bigSigma1(gy))
    fx = add(fx, tx); fy = add(fy, ty)
    // ab is bc of the next round: c ⊕ d, then d ⊕ e
    abx = v128.xor(cx, dx); aby = v128.xor(cy, dy)
    bx = add(add(tx, majority(abx, bcx, dx)), bigSigma0(cx)); by = add(add(ty, majority(aby, bcy, dy)), bigSigma0(cy))
    bcx = abx; bcy = aby
    // rounds 7, 15 … 63
    k = v128.load32_splat(constants, 28)
    wx = v128.load(words, 224); wy = v128.load(words, 240)
    tx = add(add(add(add(wx, k), ax), choose(fx, gx, hx)), bigSigma1(fx)); ty = add(add(add(add(wy, k), ay), choose(fy, gy, hy)), bigSigma1(fy))
    ex = add(ex, tx); ey = add(ey, ty)
    // ab is bc of the next round: b ⊕ c, then c ⊕ d
    abx = v128.xor(bx, cx); aby = v128.xor(by, cy)
    ax = add(add(tx, majority(abx, bcx, cx)), bigSigma0(bx)); ay = add(add(ty, majority(aby, bcy, cy)), bigSigma0(by))
    bcx = abx; bcy = aby
    words += 256; constants += 32
  }
  tx = add(ax, v128.load(chains, 0)); ty = add(ay, v128.load(chains, 16))
  v128.store(chains, tx, 0); v128.store(chains, ty, 16)
  tx = add(bx, v128.load(chains, 32)); ty = add(by, v128.load(chains, 48))
  v128.store(chains, tx, 32); v128.store(chains, ty, 48)
  tx = add(cx, v128.load(chains, 64)); ty = add(cy, v128.load(chains, 80))
  v128.store(chains, tx, 64); v128.store(chains, ty, 80)
  tx = add(dx, v128.load(chains, 96)); ty = add(dy, v128.load(chains, 112))
  v128.store(chains, tx, 96); v128.store(chains, ty, 112)
  tx = add(ex, v128.load(chains, 128)); ty = add(ey, v128.load(chains, 144))
  v128.store(chains, tx, 128); v128.store(chains, ty, 144)
  tx = add(fx, v128.load(chains, 160)); ty = add(fy, v128.load(chains, 176))
  v128.store(chains, tx, 160); v128.store(chains, ty, 176)
  tx = add(gx, v128.load(chains, 192)); ty = add(gy, v128.load(chains, 208))
  v128.store(chains, tx, 192); v128.store(chains, ty, 208)
  tx = add(hx, v128.load(chains, 224)); ty = add(hy, v128.load(chains, 240))
  v128.store(chains, tx, 224); v128.store(chains, ty, 240)
}

/** `blocks` blocks of one message. W[t] + K[t] is computed by fours, 16 rounds ahead: +12 % over scalar words. */
export function compressStream(work: usize, chain: usize, input: usize, blocks: i32): void {
  let a = bswap<u32>(load<u32>(chain, 0)), a0 = a
  let b = bswap<u32>(load<u32>(chain, 4)), b0 = b
  let c = bswap<u32>(load<u32>(chain, 8)), c0 = c
  let d = bswap<u32>(load<u32>(chain, 12)), d0 = d
  let e = bswap<u32>(load<u32>(chain, 16)), e0 = e
  let f = bswap<u32>(load<u32>(chain, 20)), f0 = f
  let g = bswap<u32>(load<u32>(chain, 24)), g0 = g
  let h = bswap<u32>(load<u32>(chain, 28)), h0 = h
  let t: u32, ab: u32, bc: u32
  let m0: v128, m1: v128, m2: v128, m3: v128, u: v128, v: v128
  const zero = i32x4.splat(0)
  for (; blocks > 0; --blocks) {
    let sums = work + STREAM_SUMS, constants = work + CONSTANTS
    m0 = swapBytes(v128.load(input, 0))
    v128.store(sums, add(m0, v128.load(constants, 0)), 0)
    m1 = swapBytes(v128.load(input, 16))
    v128.store(sums, add(m1, v128.load(constants, 16)), 16)
    m2 = swapBytes(v128.load(input, 32))
    v128.store(sums, add(m2, v128.load(constants, 32)), 32)
    m3 = swapBytes(v128.load(input, 48))
    v128.store(sums, add(m3, v128.load(constants, 48)), 48)
    bc = b ^ c
    for (let i = 0; i < 3; ++i) {
      // words 16 to 19, then + 16, + 32
      v = add(add(m0, smallSigma0(v128.shuffle<i32>(m0, m1, 1, 2, 3, 4))), v128.shuffle<i32>(m2, m3, 1, 2, 3, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(m3, m3, 2, 2, 3, 3))
      v = add(v, v128.shuffle<i32>(u, zero, 0, 2, 4, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(v, v, 0, 0, 1, 1))
      m0 = add(v, v128.shuffle<i32>(zero, u, 0, 0, 4, 6))
      v128.store(sums, add(m0, v128.load(constants, 64)), 64)
      t = h + load<u32>(sums, 0) + (((f ^ g) & e) ^ g) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25))
      d += t; ab = a ^ b
      h = t + ((ab & bc) ^ b) + (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)); bc = ab
      t = g + load<u32>(sums, 4) + (((e ^ f) & d) ^ f) + (rotr<u32>(d, 6) ^ rotr<u32>(d, 11) ^ rotr<u32>(d, 25))
      c += t; ab = h ^ a
      g = t + ((ab & bc) ^ a) + (rotr<u32>(h, 2) ^ rotr<u32>(h, 13) ^ rotr<u32>(h, 22)); bc = ab
      t = f + load<u32>(sums, 8) + (((d ^ e) & c) ^ e) + (rotr<u32>(c, 6) ^ rotr<u32>(c, 11) ^ rotr<u32>(c, 25))
      b += t; ab = g ^ h
      f = t + ((ab & bc) ^ h) + (rotr<u32>(g, 2) ^ rotr<u32>(g, 13) ^ rotr<u32>(g, 22)); bc = ab
      t = e + load<u32>(sums, 12) + (((c ^ d) & b) ^ d) + (rotr<u32>(b, 6) ^ rotr<u32>(b, 11) ^ rotr<u32>(b, 25))
      a += t; ab = f ^ g
      e = t + ((ab & bc) ^ g) + (rotr<u32>(f, 2) ^ rotr<u32>(f, 13) ^ rotr<u32>(f, 22)); bc = ab
      // words 20 to 23, then + 16, + 32
      v = add(add(m1, smallSigma0(v128.shuffle<i32>(m1, m2, 1, 2, 3, 4))), v128.shuffle<i32>(m3, m0, 1, 2, 3, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(m0, m0, 2, 2, 3, 3))
      v = add(v, v128.shuffle<i32>(u, zero, 0, 2, 4, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(v, v, 0, 0, 1, 1))
      m1 = add(v, v128.shuffle<i32>(zero, u, 0, 0, 4, 6))
      v128.store(sums, add(m1, v128.load(constants, 80)), 80)
      t = d + load<u32>(sums, 16) + (((b ^ c) & a) ^ c) + (rotr<u32>(a, 6) ^ rotr<u32>(a, 11) ^ rotr<u32>(a, 25))
      h += t; ab = e ^ f
      d = t + ((ab & bc) ^ f) + (rotr<u32>(e, 2) ^ rotr<u32>(e, 13) ^ rotr<u32>(e, 22)); bc = ab
      t = c + load<u32>(sums, 20) + (((a ^ b) & h) ^ b) + (rotr<u32>(h, 6) ^ rotr<u32>(h, 11) ^ rotr<u32>(h, 25))
      g += t; ab = d ^ e
      c = t + ((ab & bc) ^ e) + (rotr<u32>(d, 2) ^ rotr<u32>(d, 13) ^ rotr<u32>(d, 22)); bc = ab
      t = b + load<u32>(sums, 24) + (((h ^ a) & g) ^ a) + (rotr<u32>(g, 6) ^ rotr<u32>(g, 11) ^ rotr<u32>(g, 25))
      f += t; ab = c ^ d
      b = t + ((ab & bc) ^ d) + (rotr<u32>(c, 2) ^ rotr<u32>(c, 13) ^ rotr<u32>(c, 22)); bc = ab
      t = a + load<u32>(sums, 28) + (((g ^ h) & f) ^ h) + (rotr<u32>(f, 6) ^ rotr<u32>(f, 11) ^ rotr<u32>(f, 25))
      e += t; ab = b ^ c
      a = t + ((ab & bc) ^ c) + (rotr<u32>(b, 2) ^ rotr<u32>(b, 13) ^ rotr<u32>(b, 22)); bc = ab
      // words 24 to 27, then + 16, + 32
      v = add(add(m2, smallSigma0(v128.shuffle<i32>(m2, m3, 1, 2, 3, 4))), v128.shuffle<i32>(m0, m1, 1, 2, 3, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(m1, m1, 2, 2, 3, 3))
      v = add(v, v128.shuffle<i32>(u, zero, 0, 2, 4, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(v, v, 0, 0, 1, 1))
      m2 = add(v, v128.shuffle<i32>(zero, u, 0, 0, 4, 6))
      v128.store(sums, add(m2, v128.load(constants, 96)), 96)
      t = h + load<u32>(sums, 32) + (((f ^ g) & e) ^ g) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25))
      d += t; ab = a ^ b
      h = t + ((ab & bc) ^ b) + (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)); bc = ab
      t = g + load<u32>(sums, 36) + (((e ^ f) & d) ^ f) + (rotr<u32>(d, 6) ^ rotr<u32>(d, 11) ^ rotr<u32>(d, 25))
      c += t; ab = h ^ a
      g = t + ((ab & bc) ^ a) + (rotr<u32>(h, 2) ^ rotr<u32>(h, 13) ^ rotr<u32>(h, 22)); bc = ab
      t = f + load<u32>(sums, 40) + (((d ^ e) & c) ^ e) + (rotr<u32>(c, 6) ^ rotr<u32>(c, 11) ^ rotr<u32>(c, 25))
      b += t; ab = g ^ h
      f = t + ((ab & bc) ^ h) + (rotr<u32>(g, 2) ^ rotr<u32>(g, 13) ^ rotr<u32>(g, 22)); bc = ab
      t = e + load<u32>(sums, 44) + (((c ^ d) & b) ^ d) + (rotr<u32>(b, 6) ^ rotr<u32>(b, 11) ^ rotr<u32>(b, 25))
      a += t; ab = f ^ g
      e = t + ((ab & bc) ^ g) + (rotr<u32>(f, 2) ^ rotr<u32>(f, 13) ^ rotr<u32>(f, 22)); bc = ab
      // words 28 to 31, then + 16, + 32
      v = add(add(m3, smallSigma0(v128.shuffle<i32>(m3, m0, 1, 2, 3, 4))), v128.shuffle<i32>(m1, m2, 1, 2, 3, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(m2, m2, 2, 2, 3, 3))
      v = add(v, v128.shuffle<i32>(u, zero, 0, 2, 4, 4))
      u = smallSigma1Doubled(v128.shuffle<i32>(v, v, 0, 0, 1, 1))
      m3 = add(v, v128.shuffle<i32>(zero, u, 0, 0, 4, 6))
      v128.store(sums, add(m3, v128.load(constants, 112)), 112)
      t = d + load<u32>(sums, 48) + (((b ^ c) & a) ^ c) + (rotr<u32>(a, 6) ^ rotr<u32>(a, 11) ^ rotr<u32>(a, 25))
      h += t; ab = e ^ f
      d = t + ((ab & bc) ^ f) + (rotr<u32>(e, 2) ^ rotr<u32>(e, 13) ^ rotr<u32>(e, 22)); bc = ab
      t = c + load<u32>(sums, 52) + (((a ^ b) & h) ^ b) + (rotr<u32>(h, 6) ^ rotr<u32>(h, 11) ^ rotr<u32>(h, 25))
      g += t; ab = d ^ e
      c = t + ((ab & bc) ^ e) + (rotr<u32>(d, 2) ^ rotr<u32>(d, 13) ^ rotr<u32>(d, 22)); bc = ab
      t = b + load<u32>(sums, 56) + (((h ^ a) & g) ^ a) + (rotr<u32>(g, 6) ^ rotr<u32>(g, 11) ^ rotr<u32>(g, 25))
      f += t; ab = c ^ d
      b = t + ((ab & bc) ^ d) + (rotr<u32>(c, 2) ^ rotr<u32>(c, 13) ^ rotr<u32>(c, 22)); bc = ab
      t = a + load<u32>(sums, 60) + (((g ^ h) & f) ^ h) + (rotr<u32>(f, 6) ^ rotr<u32>(f, 11) ^ rotr<u32>(f, 25))
      e += t; ab = b ^ c
      a = t + ((ab & bc) ^ c) + (rotr<u32>(b, 2) ^ rotr<u32>(b, 13) ^ rotr<u32>(b, 22)); bc = ab
      sums += 64; constants += 64
    }
    t = h + load<u32>(sums, 0) + (((f ^ g) & e) ^ g) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25))
    d += t; ab = a ^ b
    h = t + ((ab & bc) ^ b) + (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)); bc = ab
    t = g + load<u32>(sums, 4) + (((e ^ f) & d) ^ f) + (rotr<u32>(d, 6) ^ rotr<u32>(d, 11) ^ rotr<u32>(d, 25))
    c += t; ab = h ^ a
    g = t + ((ab & bc) ^ a) + (rotr<u32>(h, 2) ^ rotr<u32>(h, 13) ^ rotr<u32>(h, 22)); bc = ab
    t = f + load<u32>(sums, 8) + (((d ^ e) & c) ^ e) + (rotr<u32>(c, 6) ^ rotr<u32>(c, 11) ^ rotr<u32>(c, 25))
    b += t; ab = g ^ h
    f = t + ((ab & bc) ^ h) + (rotr<u32>(g, 2) ^ rotr<u32>(g, 13) ^ rotr<u32>(g, 22)); bc = ab
    t = e + load<u32>(sums, 12) + (((c ^ d) & b) ^ d) + (rotr<u32>(b, 6) ^ rotr<u32>(b, 11) ^ rotr<u32>(b, 25))
    a += t; ab = f ^ g
    e = t + ((ab & bc) ^ g) + (rotr<u32>(f, 2) ^ rotr<u32>(f, 13) ^ rotr<u32>(f, 22)); bc = ab
    t = d + load<u32>(sums, 16) + (((b ^ c) & a) ^ c) + (rotr<u32>(a, 6) ^ rotr<u32>(a, 11) ^ rotr<u32>(a, 25))
    h += t; ab = e ^ f
    d = t + ((ab & bc) ^ f) + (rotr<u32>(e, 2) ^ rotr<u32>(e, 13) ^ rotr<u32>(e, 22)); bc = ab
    t = c + load<u32>(sums, 20) + (((a ^ b) & h) ^ b) + (rotr<u32>(h, 6) ^ rotr<u32>(h, 11) ^ rotr<u32>(h, 25))
    g += t; ab = d ^ e
    c = t + ((ab & bc) ^ e) + (rotr<u32>(d, 2) ^ rotr<u32>(d, 13) ^ rotr<u32>(d, 22)); bc = ab
    t = b + load<u32>(sums, 24) + (((h ^ a) & g) ^ a) + (rotr<u32>(g, 6) ^ rotr<u32>(g, 11) ^ rotr<u32>(g, 25))
    f += t; ab = c ^ d
    b = t + ((ab & bc) ^ d) + (rotr<u32>(c, 2) ^ rotr<u32>(c, 13) ^ rotr<u32>(c, 22)); bc = ab
    t = a + load<u32>(sums, 28) + (((g ^ h) & f) ^ h) + (rotr<u32>(f, 6) ^ rotr<u32>(f, 11) ^ rotr<u32>(f, 25))
    e += t; ab = b ^ c
    a = t + ((ab & bc) ^ c) + (rotr<u32>(b, 2) ^ rotr<u32>(b, 13) ^ rotr<u32>(b, 22)); bc = ab
    t = h + load<u32>(sums, 32) + (((f ^ g) & e) ^ g) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25))
    d += t; ab = a ^ b
    h = t + ((ab & bc) ^ b) + (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)); bc = ab
    t = g + load<u32>(sums, 36) + (((e ^ f) & d) ^ f) + (rotr<u32>(d, 6) ^ rotr<u32>(d, 11) ^ rotr<u32>(d, 25))
    c += t; ab = h ^ a
    g = t + ((ab & bc) ^ a) + (rotr<u32>(h, 2) ^ rotr<u32>(h, 13) ^ rotr<u32>(h, 22)); bc = ab
    t = f + load<u32>(sums, 40) + (((d ^ e) & c) ^ e) + (rotr<u32>(c, 6) ^ rotr<u32>(c, 11) ^ rotr<u32>(c, 25))
    b += t; ab = g ^ h
    f = t + ((ab & bc) ^ h) + (rotr<u32>(g, 2) ^ rotr<u32>(g, 13) ^ rotr<u32>(g, 22)); bc = ab
    t = e + load<u32>(sums, 44) + (((c ^ d) & b) ^ d) + (rotr<u32>(b, 6) ^ rotr<u32>(b, 11) ^ rotr<u32>(b, 25))
    a += t; ab = f ^ g
    e = t + ((ab & bc) ^ g) + (rotr<u32>(f, 2) ^ rotr<u32>(f, 13) ^ rotr<u32>(f, 22)); bc = ab
    t = d + load<u32>(sums, 48) + (((b ^ c) & a) ^ c) + (rotr<u32>(a, 6) ^ rotr<u32>(a, 11) ^ rotr<u32>(a, 25))
    h += t; ab = e ^ f
    d = t + ((ab & bc) ^ f) + (rotr<u32>(e, 2) ^ rotr<u32>(e, 13) ^ rotr<u32>(e, 22)); bc = ab
    t = c + load<u32>(sums, 52) + (((a ^ b) & h) ^ b) + (rotr<u32>(h, 6) ^ rotr<u32>(h, 11) ^ rotr<u32>(h, 25))
    g += t; ab = d ^ e
    c = t + ((ab & bc) ^ e) + (rotr<u32>(d, 2) ^ rotr<u32>(d, 13) ^ rotr<u32>(d, 22)); bc = ab
    t = b + load<u32>(sums, 56) + (((h ^ a) & g) ^ a) + (rotr<u32>(g, 6) ^ rotr<u32>(g, 11) ^ rotr<u32>(g, 25))
    f += t; ab = c ^ d
    b = t + ((ab & bc) ^ d) + (rotr<u32>(c, 2) ^ rotr<u32>(c, 13) ^ rotr<u32>(c, 22)); bc = ab
    t = a + load<u32>(sums, 60) + (((g ^ h) & f) ^ h) + (rotr<u32>(f, 6) ^ rotr<u32>(f, 11) ^ rotr<u32>(f, 25))
    e += t; ab = b ^ c
    a = t + ((ab & bc) ^ c) + (rotr<u32>(b, 2) ^ rotr<u32>(b, 13) ^ rotr<u32>(b, 22)); bc = ab
    a += a0; a0 = a
    b += b0; b0 = b
    c += c0; c0 = c
    d += d0; d0 = d
    e += e0; e0 = e
    f += f0; f0 = f
    g += g0; g0 = g
    h += h0; h0 = h
    input += 64
  }
  store<u32>(chain, bswap<u32>(a), 0)
  store<u32>(chain, bswap<u32>(b), 4)
  store<u32>(chain, bswap<u32>(c), 8)
  store<u32>(chain, bswap<u32>(d), 12)
  store<u32>(chain, bswap<u32>(e), 16)
  store<u32>(chain, bswap<u32>(f), 20)
  store<u32>(chain, bswap<u32>(g), 24)
  store<u32>(chain, bswap<u32>(h), 28)
}
