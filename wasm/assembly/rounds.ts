// Written by wasm/generate.ts: change that, not this.
// What is one compression (FIPS 180-4 §6.2.2), in eight lanes and in one? Which blocks it is given is for index.ts.
import { add, bigSigma0, bigSigma1, choose, majority, smallSigma0, smallSigma1, smallSigma1Doubled, swapBytes } from "./functions"
import { CONSTANTS, STREAM_SUMS } from "./work"

/** One block in each of eight lanes: chaining values at `chains` and words at `words` in rows of 32 bytes. */
export function compressLanes(chains: usize, words: usize, constants: usize): void {
  let ax: v128, ay: v128, bx: v128, by: v128, cx: v128, cy: v128, dx: v128, dy: v128, ex: v128, ey: v128, fx: v128, fy: v128, gx: v128, gy: v128, hx: v128, hy: v128, tx: v128, ty: v128, abx: v128, aby: v128, bcx: v128, bcy: v128
  let w0x: v128, w0y: v128, w1x: v128, w1y: v128, w2x: v128, w2y: v128, w3x: v128, w3y: v128, w4x: v128, w4y: v128, w5x: v128, w5y: v128, w6x: v128, w6y: v128, w7x: v128, w7y: v128, w8x: v128, w8y: v128, w9x: v128, w9y: v128, w10x: v128, w10y: v128, w11x: v128, w11y: v128, w12x: v128, w12y: v128, w13x: v128, w13y: v128, w14x: v128, w14y: v128, w15x: v128, w15y: v128
  let k: v128
  ax = v128.load(chains, 0); ay = v128.load(chains, 16)
  bx = v128.load(chains, 32); by = v128.load(chains, 48)
  cx = v128.load(chains, 64); cy = v128.load(chains, 80)
  dx = v128.load(chains, 96); dy = v128.load(chains, 112)
  ex = v128.load(chains, 128); ey = v128.load(chains, 144)
  fx = v128.load(chains, 160); fy = v128.load(chains, 176)
  gx = v128.load(chains, 192); gy = v128.load(chains, 208)
  hx = v128.load(chains, 224); hy = v128.load(chains, 240)
  bcx = v128.xor(bx, cx); bcy = v128.xor(by, cy)
  w0x = v128.load(words, 0); w0y = v128.load(words, 16)
  w1x = v128.load(words, 32); w1y = v128.load(words, 48)
  w2x = v128.load(words, 64); w2y = v128.load(words, 80)
  w3x = v128.load(words, 96); w3y = v128.load(words, 112)
  w4x = v128.load(words, 128); w4y = v128.load(words, 144)
  w5x = v128.load(words, 160); w5y = v128.load(words, 176)
  w6x = v128.load(words, 192); w6y = v128.load(words, 208)
  w7x = v128.load(words, 224); w7y = v128.load(words, 240)
  w8x = v128.load(words, 256); w8y = v128.load(words, 272)
  w9x = v128.load(words, 288); w9y = v128.load(words, 304)
  w10x = v128.load(words, 320); w10y = v128.load(words, 336)
  w11x = v128.load(words, 352); w11y = v128.load(words, 368)
  w12x = v128.load(words, 384); w12y = v128.load(words, 400)
  w13x = v128.load(words, 416); w13y = v128.load(words, 432)
  w14x = v128.load(words, 448); w14y = v128.load(words, 464)
  w15x = v128.load(words, 480); w15y = v128.load(words, 496)
  // round 0
  k = v128.load32_splat(constants, 0)
  tx = add(add(add(add(w0x, k), hx), choose(ex, fx, gx)), bigSigma1(ex)); ty = add(add(add(add(w0y, k), hy), choose(ey, fy, gy)), bigSigma1(ey))
  dx = add(dx, tx); dy = add(dy, ty)
  // ab is bc of the next round: a ⊕ b, then b ⊕ c
  abx = v128.xor(ax, bx); aby = v128.xor(ay, by)
  hx = add(add(tx, majority(abx, bcx, bx)), bigSigma0(ax)); hy = add(add(ty, majority(aby, bcy, by)), bigSigma0(ay))
  bcx = abx; bcy = aby
  // round 1
  k = v128.load32_splat(constants, 4)
  tx = add(add(add(add(w1x, k), gx), choose(dx, ex, fx)), bigSigma1(dx)); ty = add(add(add(add(w1y, k), gy), choose(dy, ey, fy)), bigSigma1(dy))
  cx = add(cx, tx); cy = add(cy, ty)
  // ab is bc of the next round: h ⊕ a, then a ⊕ b
  abx = v128.xor(hx, ax); aby = v128.xor(hy, ay)
  gx = add(add(tx, majority(abx, bcx, ax)), bigSigma0(hx)); gy = add(add(ty, majority(aby, bcy, ay)), bigSigma0(hy))
  bcx = abx; bcy = aby
  // round 2
  k = v128.load32_splat(constants, 8)
  tx = add(add(add(add(w2x, k), fx), choose(cx, dx, ex)), bigSigma1(cx)); ty = add(add(add(add(w2y, k), fy), choose(cy, dy, ey)), bigSigma1(cy))
  bx = add(bx, tx); by = add(by, ty)
  // ab is bc of the next round: g ⊕ h, then h ⊕ a
  abx = v128.xor(gx, hx); aby = v128.xor(gy, hy)
  fx = add(add(tx, majority(abx, bcx, hx)), bigSigma0(gx)); fy = add(add(ty, majority(aby, bcy, hy)), bigSigma0(gy))
  bcx = abx; bcy = aby
  // round 3
  k = v128.load32_splat(constants, 12)
  tx = add(add(add(add(w3x, k), ex), choose(bx, cx, dx)), bigSigma1(bx)); ty = add(add(add(add(w3y, k), ey), choose(by, cy, dy)), bigSigma1(by))
  ax = add(ax, tx); ay = add(ay, ty)
  // ab is bc of the next round: f ⊕ g, then g ⊕ h
  abx = v128.xor(fx, gx); aby = v128.xor(fy, gy)
  ex = add(add(tx, majority(abx, bcx, gx)), bigSigma0(fx)); ey = add(add(ty, majority(aby, bcy, gy)), bigSigma0(fy))
  bcx = abx; bcy = aby
  // round 4
  k = v128.load32_splat(constants, 16)
  tx = add(add(add(add(w4x, k), dx), choose(ax, bx, cx)), bigSigma1(ax)); ty = add(add(add(add(w4y, k), dy), choose(ay, by, cy)), bigSigma1(ay))
  hx = add(hx, tx); hy = add(hy, ty)
  // ab is bc of the next round: e ⊕ f, then f ⊕ g
  abx = v128.xor(ex, fx); aby = v128.xor(ey, fy)
  dx = add(add(tx, majority(abx, bcx, fx)), bigSigma0(ex)); dy = add(add(ty, majority(aby, bcy, fy)), bigSigma0(ey))
  bcx = abx; bcy = aby
  // round 5
  k = v128.load32_splat(constants, 20)
  tx = add(add(add(add(w5x, k), cx), choose(hx, ax, bx)), bigSigma1(hx)); ty = add(add(add(add(w5y, k), cy), choose(hy, ay, by)), bigSigma1(hy))
  gx = add(gx, tx); gy = add(gy, ty)
  // ab is bc of the next round: d ⊕ e, then e ⊕ f
  abx = v128.xor(dx, ex); aby = v128.xor(dy, ey)
  cx = add(add(tx, majority(abx, bcx, ex)), bigSigma0(dx)); cy = add(add(ty, majority(aby, bcy, ey)), bigSigma0(dy))
  bcx = abx; bcy = aby
  // round 6
  k = v128.load32_splat(constants, 24)
  tx = add(add(add(add(w6x, k), bx), choose(gx, hx, ax)), bigSigma1(gx)); ty = add(add(add(add(w6y, k), by), choose(gy, hy, ay)), bigSigma1(gy))
  fx = add(fx, tx); fy = add(fy, ty)
  // ab is bc of the next round: c ⊕ d, then d ⊕ e
  abx = v128.xor(cx, dx); aby = v128.xor(cy, dy)
  bx = add(add(tx, majority(abx, bcx, dx)), bigSigma0(cx)); by = add(add(ty, majority(aby, bcy, dy)), bigSigma0(cy))
  bcx = abx; bcy = aby
  // round 7
  k = v128.load32_splat(constants, 28)
  tx = add(add(add(add(w7x, k), ax), choose(fx, gx, hx)), bigSigma1(fx)); ty = add(add(add(add(w7y, k), ay), choose(fy, gy, hy)), bigSigma1(fy))
  ex = add(ex, tx); ey = add(ey, ty)
  // ab is bc of the next round: b ⊕ c, then c ⊕ d
  abx = v128.xor(bx, cx); aby = v128.xor(by, cy)
  ax = add(add(tx, majority(abx, bcx, cx)), bigSigma0(bx)); ay = add(add(ty, majority(aby, bcy, cy)), bigSigma0(by))
  bcx = abx; bcy = aby
  // round 8
  k = v128.load32_splat(constants, 32)
  tx = add(add(add(add(w8x, k), hx), choose(ex, fx, gx)), bigSigma1(ex)); ty = add(add(add(add(w8y, k), hy), choose(ey, fy, gy)), bigSigma1(ey))
  dx = add(dx, tx); dy = add(dy, ty)
  // ab is bc of the next round: a ⊕ b, then b ⊕ c
  abx = v128.xor(ax, bx); aby = v128.xor(ay, by)
  hx = add(add(tx, majority(abx, bcx, bx)), bigSigma0(ax)); hy = add(add(ty, majority(aby, bcy, by)), bigSigma0(ay))
  bcx = abx; bcy = aby
  // round 9
  k = v128.load32_splat(constants, 36)
  tx = add(add(add(add(w9x, k), gx), choose(dx, ex, fx)), bigSigma1(dx)); ty = add(add(add(add(w9y, k), gy), choose(dy, ey, fy)), bigSigma1(dy))
  cx = add(cx, tx); cy = add(cy, ty)
  // ab is bc of the next round: h ⊕ a, then a ⊕ b
  abx = v128.xor(hx, ax); aby = v128.xor(hy, ay)
  gx = add(add(tx, majority(abx, bcx, ax)), bigSigma0(hx)); gy = add(add(ty, majority(aby, bcy, ay)), bigSigma0(hy))
  bcx = abx; bcy = aby
  // round 10
  k = v128.load32_splat(constants, 40)
  tx = add(add(add(add(w10x, k), fx), choose(cx, dx, ex)), bigSigma1(cx)); ty = add(add(add(add(w10y, k), fy), choose(cy, dy, ey)), bigSigma1(cy))
  bx = add(bx, tx); by = add(by, ty)
  // ab is bc of the next round: g ⊕ h, then h ⊕ a
  abx = v128.xor(gx, hx); aby = v128.xor(gy, hy)
  fx = add(add(tx, majority(abx, bcx, hx)), bigSigma0(gx)); fy = add(add(ty, majority(aby, bcy, hy)), bigSigma0(gy))
  bcx = abx; bcy = aby
  // round 11
  k = v128.load32_splat(constants, 44)
  tx = add(add(add(add(w11x, k), ex), choose(bx, cx, dx)), bigSigma1(bx)); ty = add(add(add(add(w11y, k), ey), choose(by, cy, dy)), bigSigma1(by))
  ax = add(ax, tx); ay = add(ay, ty)
  // ab is bc of the next round: f ⊕ g, then g ⊕ h
  abx = v128.xor(fx, gx); aby = v128.xor(fy, gy)
  ex = add(add(tx, majority(abx, bcx, gx)), bigSigma0(fx)); ey = add(add(ty, majority(aby, bcy, gy)), bigSigma0(fy))
  bcx = abx; bcy = aby
  // round 12
  k = v128.load32_splat(constants, 48)
  tx = add(add(add(add(w12x, k), dx), choose(ax, bx, cx)), bigSigma1(ax)); ty = add(add(add(add(w12y, k), dy), choose(ay, by, cy)), bigSigma1(ay))
  hx = add(hx, tx); hy = add(hy, ty)
  // ab is bc of the next round: e ⊕ f, then f ⊕ g
  abx = v128.xor(ex, fx); aby = v128.xor(ey, fy)
  dx = add(add(tx, majority(abx, bcx, fx)), bigSigma0(ex)); dy = add(add(ty, majority(aby, bcy, fy)), bigSigma0(ey))
  bcx = abx; bcy = aby
  // round 13
  k = v128.load32_splat(constants, 52)
  tx = add(add(add(add(w13x, k), cx), choose(hx, ax, bx)), bigSigma1(hx)); ty = add(add(add(add(w13y, k), cy), choose(hy, ay, by)), bigSigma1(hy))
  gx = add(gx, tx); gy = add(gy, ty)
  // ab is bc of the next round: d ⊕ e, then e ⊕ f
  abx = v128.xor(dx, ex); aby = v128.xor(dy, ey)
  cx = add(add(tx, majority(abx, bcx, ex)), bigSigma0(dx)); cy = add(add(ty, majority(aby, bcy, ey)), bigSigma0(dy))
  bcx = abx; bcy = aby
  // round 14
  k = v128.load32_splat(constants, 56)
  tx = add(add(add(add(w14x, k), bx), choose(gx, hx, ax)), bigSigma1(gx)); ty = add(add(add(add(w14y, k), by), choose(gy, hy, ay)), bigSigma1(gy))
  fx = add(fx, tx); fy = add(fy, ty)
  // ab is bc of the next round: c ⊕ d, then d ⊕ e
  abx = v128.xor(cx, dx); aby = v128.xor(cy, dy)
  bx = add(add(tx, majority(abx, bcx, dx)), bigSigma0(cx)); by = add(add(ty, majority(aby, bcy, dy)), bigSigma0(cy))
  bcx = abx; bcy = aby
  // round 15
  k = v128.load32_splat(constants, 60)
  tx = add(add(add(add(w15x, k), ax), choose(fx, gx, hx)), bigSigma1(fx)); ty = add(add(add(add(w15y, k), ay), choose(fy, gy, hy)), bigSigma1(fy))
  ex = add(ex, tx); ey = add(ey, ty)
  // ab is bc of the next round: b ⊕ c, then c ⊕ d
  abx = v128.xor(bx, cx); aby = v128.xor(by, cy)
  ax = add(add(tx, majority(abx, bcx, cx)), bigSigma0(bx)); ay = add(add(ty, majority(aby, bcy, cy)), bigSigma0(by))
  bcx = abx; bcy = aby
  for (let i = 0; i < 3; ++i) {
    constants += 64
    // rounds 16, 32, 48
    w0x = add(add(add(w0x, smallSigma0(w1x)), w9x), smallSigma1(w14x)); w0y = add(add(add(w0y, smallSigma0(w1y)), w9y), smallSigma1(w14y))
    k = v128.load32_splat(constants, 0)
    tx = add(add(add(add(w0x, k), hx), choose(ex, fx, gx)), bigSigma1(ex)); ty = add(add(add(add(w0y, k), hy), choose(ey, fy, gy)), bigSigma1(ey))
    dx = add(dx, tx); dy = add(dy, ty)
    // ab is bc of the next round: a ⊕ b, then b ⊕ c
    abx = v128.xor(ax, bx); aby = v128.xor(ay, by)
    hx = add(add(tx, majority(abx, bcx, bx)), bigSigma0(ax)); hy = add(add(ty, majority(aby, bcy, by)), bigSigma0(ay))
    bcx = abx; bcy = aby
    // rounds 17, 33, 49
    w1x = add(add(add(w1x, smallSigma0(w2x)), w10x), smallSigma1(w15x)); w1y = add(add(add(w1y, smallSigma0(w2y)), w10y), smallSigma1(w15y))
    k = v128.load32_splat(constants, 4)
    tx = add(add(add(add(w1x, k), gx), choose(dx, ex, fx)), bigSigma1(dx)); ty = add(add(add(add(w1y, k), gy), choose(dy, ey, fy)), bigSigma1(dy))
    cx = add(cx, tx); cy = add(cy, ty)
    // ab is bc of the next round: h ⊕ a, then a ⊕ b
    abx = v128.xor(hx, ax); aby = v128.xor(hy, ay)
    gx = add(add(tx, majority(abx, bcx, ax)), bigSigma0(hx)); gy = add(add(ty, majority(aby, bcy, ay)), bigSigma0(hy))
    bcx = abx; bcy = aby
    // rounds 18, 34, 50
    w2x = add(add(add(w2x, smallSigma0(w3x)), w11x), smallSigma1(w0x)); w2y = add(add(add(w2y, smallSigma0(w3y)), w11y), smallSigma1(w0y))
    k = v128.load32_splat(constants, 8)
    tx = add(add(add(add(w2x, k), fx), choose(cx, dx, ex)), bigSigma1(cx)); ty = add(add(add(add(w2y, k), fy), choose(cy, dy, ey)), bigSigma1(cy))
    bx = add(bx, tx); by = add(by, ty)
    // ab is bc of the next round: g ⊕ h, then h ⊕ a
    abx = v128.xor(gx, hx); aby = v128.xor(gy, hy)
    fx = add(add(tx, majority(abx, bcx, hx)), bigSigma0(gx)); fy = add(add(ty, majority(aby, bcy, hy)), bigSigma0(gy))
    bcx = abx; bcy = aby
    // rounds 19, 35, 51
    w3x = add(add(add(w3x, smallSigma0(w4x)), w12x), smallSigma1(w1x)); w3y = add(add(add(w3y, smallSigma0(w4y)), w12y), smallSigma1(w1y))
    k = v128.load32_splat(constants, 12)
    tx = add(add(add(add(w3x, k), ex), choose(bx, cx, dx)), bigSigma1(bx)); ty = add(add(add(add(w3y, k), ey), choose(by, cy, dy)), bigSigma1(by))
    ax = add(ax, tx); ay = add(ay, ty)
    // ab is bc of the next round: f ⊕ g, then g ⊕ h
    abx = v128.xor(fx, gx); aby = v128.xor(fy, gy)
    ex = add(add(tx, majority(abx, bcx, gx)), bigSigma0(fx)); ey = add(add(ty, majority(aby, bcy, gy)), bigSigma0(fy))
    bcx = abx; bcy = aby
    // rounds 20, 36, 52
    w4x = add(add(add(w4x, smallSigma0(w5x)), w13x), smallSigma1(w2x)); w4y = add(add(add(w4y, smallSigma0(w5y)), w13y), smallSigma1(w2y))
    k = v128.load32_splat(constants, 16)
    tx = add(add(add(add(w4x, k), dx), choose(ax, bx, cx)), bigSigma1(ax)); ty = add(add(add(add(w4y, k), dy), choose(ay, by, cy)), bigSigma1(ay))
    hx = add(hx, tx); hy = add(hy, ty)
    // ab is bc of the next round: e ⊕ f, then f ⊕ g
    abx = v128.xor(ex, fx); aby = v128.xor(ey, fy)
    dx = add(add(tx, majority(abx, bcx, fx)), bigSigma0(ex)); dy = add(add(ty, majority(aby, bcy, fy)), bigSigma0(ey))
    bcx = abx; bcy = aby
    // rounds 21, 37, 53
    w5x = add(add(add(w5x, smallSigma0(w6x)), w14x), smallSigma1(w3x)); w5y = add(add(add(w5y, smallSigma0(w6y)), w14y), smallSigma1(w3y))
    k = v128.load32_splat(constants, 20)
    tx = add(add(add(add(w5x, k), cx), choose(hx, ax, bx)), bigSigma1(hx)); ty = add(add(add(add(w5y, k), cy), choose(hy, ay, by)), bigSigma1(hy))
    gx = add(gx, tx); gy = add(gy, ty)
    // ab is bc of the next round: d ⊕ e, then e ⊕ f
    abx = v128.xor(dx, ex); aby = v128.xor(dy, ey)
    cx = add(add(tx, majority(abx, bcx, ex)), bigSigma0(dx)); cy = add(add(ty, majority(aby, bcy, ey)), bigSigma0(dy))
    bcx = abx; bcy = aby
    // rounds 22, 38, 54
    w6x = add(add(add(w6x, smallSigma0(w7x)), w15x), smallSigma1(w4x)); w6y = add(add(add(w6y, smallSigma0(w7y)), w15y), smallSigma1(w4y))
    k = v128.load32_splat(constants, 24)
    tx = add(add(add(add(w6x, k), bx), choose(gx, hx, ax)), bigSigma1(gx)); ty = add(add(add(add(w6y, k), by), choose(gy, hy, ay)), bigSigma1(gy))
    fx = add(fx, tx); fy = add(fy, ty)
    // ab is bc of the next round: c ⊕ d, then d ⊕ e
    abx = v128.xor(cx, dx); aby = v128.xor(cy, dy)
    bx = add(add(tx, majority(abx, bcx, dx)), bigSigma0(cx)); by = add(add(ty, majority(aby, bcy, dy)), bigSigma0(cy))
    bcx = abx; bcy = aby
    // rounds 23, 39, 55
    w7x = add(add(add(w7x, smallSigma0(w8x)), w0x), smallSigma1(w5x)); w7y = add(add(add(w7y, smallSigma0(w8y)), w0y), smallSigma1(w5y))
    k = v128.load32_splat(constants, 28)
    tx = add(add(add(add(w7x, k), ax), choose(fx, gx, hx)), bigSigma1(fx)); ty = add(add(add(add(w7y, k), ay), choose(fy, gy, hy)), bigSigma1(fy))
    ex = add(ex, tx); ey = add(ey, ty)
    // ab is bc of the next round: b ⊕ c, then c ⊕ d
    abx = v128.xor(bx, cx); aby = v128.xor(by, cy)
    ax = add(add(tx, majority(abx, bcx, cx)), bigSigma0(bx)); ay = add(add(ty, majority(aby, bcy, cy)), bigSigma0(by))
    bcx = abx; bcy = aby
    // rounds 24, 40, 56
    w8x = add(add(add(w8x, smallSigma0(w9x)), w1x), smallSigma1(w6x)); w8y = add(add(add(w8y, smallSigma0(w9y)), w1y), smallSigma1(w6y))
    k = v128.load32_splat(constants, 32)
    tx = add(add(add(add(w8x, k), hx), choose(ex, fx, gx)), bigSigma1(ex)); ty = add(add(add(add(w8y, k), hy), choose(ey, fy, gy)), bigSigma1(ey))
    dx = add(dx, tx); dy = add(dy, ty)
    // ab is bc of the next round: a ⊕ b, then b ⊕ c
    abx = v128.xor(ax, bx); aby = v128.xor(ay, by)
    hx = add(add(tx, majority(abx, bcx, bx)), bigSigma0(ax)); hy = add(add(ty, majority(aby, bcy, by)), bigSigma0(ay))
    bcx = abx; bcy = aby
    // rounds 25, 41, 57
    w9x = add(add(add(w9x, smallSigma0(w10x)), w2x), smallSigma1(w7x)); w9y = add(add(add(w9y, smallSigma0(w10y)), w2y), smallSigma1(w7y))
    k = v128.load32_splat(constants, 36)
    tx = add(add(add(add(w9x, k), gx), choose(dx, ex, fx)), bigSigma1(dx)); ty = add(add(add(add(w9y, k), gy), choose(dy, ey, fy)), bigSigma1(dy))
    cx = add(cx, tx); cy = add(cy, ty)
    // ab is bc of the next round: h ⊕ a, then a ⊕ b
    abx = v128.xor(hx, ax); aby = v128.xor(hy, ay)
    gx = add(add(tx, majority(abx, bcx, ax)), bigSigma0(hx)); gy = add(add(ty, majority(aby, bcy, ay)), bigSigma0(hy))
    bcx = abx; bcy = aby
    // rounds 26, 42, 58
    w10x = add(add(add(w10x, smallSigma0(w11x)), w3x), smallSigma1(w8x)); w10y = add(add(add(w10y, smallSigma0(w11y)), w3y), smallSigma1(w8y))
    k = v128.load32_splat(constants, 40)
    tx = add(add(add(add(w10x, k), fx), choose(cx, dx, ex)), bigSigma1(cx)); ty = add(add(add(add(w10y, k), fy), choose(cy, dy, ey)), bigSigma1(cy))
    bx = add(bx, tx); by = add(by, ty)
    // ab is bc of the next round: g ⊕ h, then h ⊕ a
    abx = v128.xor(gx, hx); aby = v128.xor(gy, hy)
    fx = add(add(tx, majority(abx, bcx, hx)), bigSigma0(gx)); fy = add(add(ty, majority(aby, bcy, hy)), bigSigma0(gy))
    bcx = abx; bcy = aby
    // rounds 27, 43, 59
    w11x = add(add(add(w11x, smallSigma0(w12x)), w4x), smallSigma1(w9x)); w11y = add(add(add(w11y, smallSigma0(w12y)), w4y), smallSigma1(w9y))
    k = v128.load32_splat(constants, 44)
    tx = add(add(add(add(w11x, k), ex), choose(bx, cx, dx)), bigSigma1(bx)); ty = add(add(add(add(w11y, k), ey), choose(by, cy, dy)), bigSigma1(by))
    ax = add(ax, tx); ay = add(ay, ty)
    // ab is bc of the next round: f ⊕ g, then g ⊕ h
    abx = v128.xor(fx, gx); aby = v128.xor(fy, gy)
    ex = add(add(tx, majority(abx, bcx, gx)), bigSigma0(fx)); ey = add(add(ty, majority(aby, bcy, gy)), bigSigma0(fy))
    bcx = abx; bcy = aby
    // rounds 28, 44, 60
    w12x = add(add(add(w12x, smallSigma0(w13x)), w5x), smallSigma1(w10x)); w12y = add(add(add(w12y, smallSigma0(w13y)), w5y), smallSigma1(w10y))
    k = v128.load32_splat(constants, 48)
    tx = add(add(add(add(w12x, k), dx), choose(ax, bx, cx)), bigSigma1(ax)); ty = add(add(add(add(w12y, k), dy), choose(ay, by, cy)), bigSigma1(ay))
    hx = add(hx, tx); hy = add(hy, ty)
    // ab is bc of the next round: e ⊕ f, then f ⊕ g
    abx = v128.xor(ex, fx); aby = v128.xor(ey, fy)
    dx = add(add(tx, majority(abx, bcx, fx)), bigSigma0(ex)); dy = add(add(ty, majority(aby, bcy, fy)), bigSigma0(ey))
    bcx = abx; bcy = aby
    // rounds 29, 45, 61
    w13x = add(add(add(w13x, smallSigma0(w14x)), w6x), smallSigma1(w11x)); w13y = add(add(add(w13y, smallSigma0(w14y)), w6y), smallSigma1(w11y))
    k = v128.load32_splat(constants, 52)
    tx = add(add(add(add(w13x, k), cx), choose(hx, ax, bx)), bigSigma1(hx)); ty = add(add(add(add(w13y, k), cy), choose(hy, ay, by)), bigSigma1(hy))
    gx = add(gx, tx); gy = add(gy, ty)
    // ab is bc of the next round: d ⊕ e, then e ⊕ f
    abx = v128.xor(dx, ex); aby = v128.xor(dy, ey)
    cx = add(add(tx, majority(abx, bcx, ex)), bigSigma0(dx)); cy = add(add(ty, majority(aby, bcy, ey)), bigSigma0(dy))
    bcx = abx; bcy = aby
    // rounds 30, 46, 62
    w14x = add(add(add(w14x, smallSigma0(w15x)), w7x), smallSigma1(w12x)); w14y = add(add(add(w14y, smallSigma0(w15y)), w7y), smallSigma1(w12y))
    k = v128.load32_splat(constants, 56)
    tx = add(add(add(add(w14x, k), bx), choose(gx, hx, ax)), bigSigma1(gx)); ty = add(add(add(add(w14y, k), by), choose(gy, hy, ay)), bigSigma1(gy))
    fx = add(fx, tx); fy = add(fy, ty)
    // ab is bc of the next round: c ⊕ d, then d ⊕ e
    abx = v128.xor(cx, dx); aby = v128.xor(cy, dy)
    bx = add(add(tx, majority(abx, bcx, dx)), bigSigma0(cx)); by = add(add(ty, majority(aby, bcy, dy)), bigSigma0(cy))
    bcx = abx; bcy = aby
    // rounds 31, 47, 63
    w15x = add(add(add(w15x, smallSigma0(w0x)), w8x), smallSigma1(w13x)); w15y = add(add(add(w15y, smallSigma0(w0y)), w8y), smallSigma1(w13y))
    k = v128.load32_splat(constants, 60)
    tx = add(add(add(add(w15x, k), ax), choose(fx, gx, hx)), bigSigma1(fx)); ty = add(add(add(add(w15y, k), ay), choose(fy, gy, hy)), bigSigma1(fy))
    ex = add(ex, tx); ey = add(ey, ty)
    // ab is bc of the next round: b ⊕ c, then c ⊕ d
    abx = v128.xor(bx, cx); aby = v128.xor(by, cy)
    ax = add(add(tx, majority(abx, bcx, cx)), bigSigma0(bx)); ay = add(add(ty, majority(aby, bcy, cy)), bigSigma0(by))
    bcx = abx; bcy = aby
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

/** The padding block in each of eight lanes; `constants` is the table of W[t] + K[t]. */
export function compressPadding(chains: usize, constants: usize): void {
  let ax: v128, ay: v128, bx: v128, by: v128, cx: v128, cy: v128, dx: v128, dy: v128, ex: v128, ey: v128, fx: v128, fy: v128, gx: v128, gy: v128, hx: v128, hy: v128, tx: v128, ty: v128, abx: v128, aby: v128, bcx: v128, bcy: v128
  let k: v128
  ax = v128.load(chains, 0); ay = v128.load(chains, 16)
  bx = v128.load(chains, 32); by = v128.load(chains, 48)
  cx = v128.load(chains, 64); cy = v128.load(chains, 80)
  dx = v128.load(chains, 96); dy = v128.load(chains, 112)
  ex = v128.load(chains, 128); ey = v128.load(chains, 144)
  fx = v128.load(chains, 160); fy = v128.load(chains, 176)
  gx = v128.load(chains, 192); gy = v128.load(chains, 208)
  hx = v128.load(chains, 224); hy = v128.load(chains, 240)
  bcx = v128.xor(bx, cx); bcy = v128.xor(by, cy)
  for (let i = 0; i < 4; ++i) {
    // rounds 0, 16, 32, 48
    k = v128.load32_splat(constants, 0)
    tx = add(add(add(k, hx), choose(ex, fx, gx)), bigSigma1(ex)); ty = add(add(add(k, hy), choose(ey, fy, gy)), bigSigma1(ey))
    dx = add(dx, tx); dy = add(dy, ty)
    // ab is bc of the next round: a ⊕ b, then b ⊕ c
    abx = v128.xor(ax, bx); aby = v128.xor(ay, by)
    hx = add(add(tx, majority(abx, bcx, bx)), bigSigma0(ax)); hy = add(add(ty, majority(aby, bcy, by)), bigSigma0(ay))
    bcx = abx; bcy = aby
    // rounds 1, 17, 33, 49
    k = v128.load32_splat(constants, 4)
    tx = add(add(add(k, gx), choose(dx, ex, fx)), bigSigma1(dx)); ty = add(add(add(k, gy), choose(dy, ey, fy)), bigSigma1(dy))
    cx = add(cx, tx); cy = add(cy, ty)
    // ab is bc of the next round: h ⊕ a, then a ⊕ b
    abx = v128.xor(hx, ax); aby = v128.xor(hy, ay)
    gx = add(add(tx, majority(abx, bcx, ax)), bigSigma0(hx)); gy = add(add(ty, majority(aby, bcy, ay)), bigSigma0(hy))
    bcx = abx; bcy = aby
    // rounds 2, 18, 34, 50
    k = v128.load32_splat(constants, 8)
    tx = add(add(add(k, fx), choose(cx, dx, ex)), bigSigma1(cx)); ty = add(add(add(k, fy), choose(cy, dy, ey)), bigSigma1(cy))
    bx = add(bx, tx); by = add(by, ty)
    // ab is bc of the next round: g ⊕ h, then h ⊕ a
    abx = v128.xor(gx, hx); aby = v128.xor(gy, hy)
    fx = add(add(tx, majority(abx, bcx, hx)), bigSigma0(gx)); fy = add(add(ty, majority(aby, bcy, hy)), bigSigma0(gy))
    bcx = abx; bcy = aby
    // rounds 3, 19, 35, 51
    k = v128.load32_splat(constants, 12)
    tx = add(add(add(k, ex), choose(bx, cx, dx)), bigSigma1(bx)); ty = add(add(add(k, ey), choose(by, cy, dy)), bigSigma1(by))
    ax = add(ax, tx); ay = add(ay, ty)
    // ab is bc of the next round: f ⊕ g, then g ⊕ h
    abx = v128.xor(fx, gx); aby = v128.xor(fy, gy)
    ex = add(add(tx, majority(abx, bcx, gx)), bigSigma0(fx)); ey = add(add(ty, majority(aby, bcy, gy)), bigSigma0(fy))
    bcx = abx; bcy = aby
    // rounds 4, 20, 36, 52
    k = v128.load32_splat(constants, 16)
    tx = add(add(add(k, dx), choose(ax, bx, cx)), bigSigma1(ax)); ty = add(add(add(k, dy), choose(ay, by, cy)), bigSigma1(ay))
    hx = add(hx, tx); hy = add(hy, ty)
    // ab is bc of the next round: e ⊕ f, then f ⊕ g
    abx = v128.xor(ex, fx); aby = v128.xor(ey, fy)
    dx = add(add(tx, majority(abx, bcx, fx)), bigSigma0(ex)); dy = add(add(ty, majority(aby, bcy, fy)), bigSigma0(ey))
    bcx = abx; bcy = aby
    // rounds 5, 21, 37, 53
    k = v128.load32_splat(constants, 20)
    tx = add(add(add(k, cx), choose(hx, ax, bx)), bigSigma1(hx)); ty = add(add(add(k, cy), choose(hy, ay, by)), bigSigma1(hy))
    gx = add(gx, tx); gy = add(gy, ty)
    // ab is bc of the next round: d ⊕ e, then e ⊕ f
    abx = v128.xor(dx, ex); aby = v128.xor(dy, ey)
    cx = add(add(tx, majority(abx, bcx, ex)), bigSigma0(dx)); cy = add(add(ty, majority(aby, bcy, ey)), bigSigma0(dy))
    bcx = abx; bcy = aby
    // rounds 6, 22, 38, 54
    k = v128.load32_splat(constants, 24)
    tx = add(add(add(k, bx), choose(gx, hx, ax)), bigSigma1(gx)); ty = add(add(add(k, by), choose(gy, hy, ay)), bigSigma1(gy))
    fx = add(fx, tx); fy = add(fy, ty)
    // ab is bc of the next round: c ⊕ d, then d ⊕ e
    abx = v128.xor(cx, dx); aby = v128.xor(cy, dy)
    bx = add(add(tx, majority(abx, bcx, dx)), bigSigma0(cx)); by = add(add(ty, majority(aby, bcy, dy)), bigSigma0(cy))
    bcx = abx; bcy = aby
    // rounds 7, 23, 39, 55
    k = v128.load32_splat(constants, 28)
    tx = add(add(add(k, ax), choose(fx, gx, hx)), bigSigma1(fx)); ty = add(add(add(k, ay), choose(fy, gy, hy)), bigSigma1(fy))
    ex = add(ex, tx); ey = add(ey, ty)
    // ab is bc of the next round: b ⊕ c, then c ⊕ d
    abx = v128.xor(bx, cx); aby = v128.xor(by, cy)
    ax = add(add(tx, majority(abx, bcx, cx)), bigSigma0(bx)); ay = add(add(ty, majority(aby, bcy, cy)), bigSigma0(by))
    bcx = abx; bcy = aby
    // rounds 8, 24, 40, 56
    k = v128.load32_splat(constants, 32)
    tx = add(add(add(k, hx), choose(ex, fx, gx)), bigSigma1(ex)); ty = add(add(add(k, hy), choose(ey, fy, gy)), bigSigma1(ey))
    dx = add(dx, tx); dy = add(dy, ty)
    // ab is bc of the next round: a ⊕ b, then b ⊕ c
    abx = v128.xor(ax, bx); aby = v128.xor(ay, by)
    hx = add(add(tx, majority(abx, bcx, bx)), bigSigma0(ax)); hy = add(add(ty, majority(aby, bcy, by)), bigSigma0(ay))
    bcx = abx; bcy = aby
    // rounds 9, 25, 41, 57
    k = v128.load32_splat(constants, 36)
    tx = add(add(add(k, gx), choose(dx, ex, fx)), bigSigma1(dx)); ty = add(add(add(k, gy), choose(dy, ey, fy)), bigSigma1(dy))
    cx = add(cx, tx); cy = add(cy, ty)
    // ab is bc of the next round: h ⊕ a, then a ⊕ b
    abx = v128.xor(hx, ax); aby = v128.xor(hy, ay)
    gx = add(add(tx, majority(abx, bcx, ax)), bigSigma0(hx)); gy = add(add(ty, majority(aby, bcy, ay)), bigSigma0(hy))
    bcx = abx; bcy = aby
    // rounds 10, 26, 42, 58
    k = v128.load32_splat(constants, 40)
    tx = add(add(add(k, fx), choose(cx, dx, ex)), bigSigma1(cx)); ty = add(add(add(k, fy), choose(cy, dy, ey)), bigSigma1(cy))
    bx = add(bx, tx); by = add(by, ty)
    // ab is bc of the next round: g ⊕ h, then h ⊕ a
    abx = v128.xor(gx, hx); aby = v128.xor(gy, hy)
    fx = add(add(tx, majority(abx, bcx, hx)), bigSigma0(gx)); fy = add(add(ty, majority(aby, bcy, hy)), bigSigma0(gy))
    bcx = abx; bcy = aby
    // rounds 11, 27, 43, 59
    k = v128.load32_splat(constants, 44)
    tx = add(add(add(k, ex), choose(bx, cx, dx)), bigSigma1(bx)); ty = add(add(add(k, ey), choose(by, cy, dy)), bigSigma1(by))
    ax = add(ax, tx); ay = add(ay, ty)
    // ab is bc of the next round: f ⊕ g, then g ⊕ h
    abx = v128.xor(fx, gx); aby = v128.xor(fy, gy)
    ex = add(add(tx, majority(abx, bcx, gx)), bigSigma0(fx)); ey = add(add(ty, majority(aby, bcy, gy)), bigSigma0(fy))
    bcx = abx; bcy = aby
    // rounds 12, 28, 44, 60
    k = v128.load32_splat(constants, 48)
    tx = add(add(add(k, dx), choose(ax, bx, cx)), bigSigma1(ax)); ty = add(add(add(k, dy), choose(ay, by, cy)), bigSigma1(ay))
    hx = add(hx, tx); hy = add(hy, ty)
    // ab is bc of the next round: e ⊕ f, then f ⊕ g
    abx = v128.xor(ex, fx); aby = v128.xor(ey, fy)
    dx = add(add(tx, majority(abx, bcx, fx)), bigSigma0(ex)); dy = add(add(ty, majority(aby, bcy, fy)), bigSigma0(ey))
    bcx = abx; bcy = aby
    // rounds 13, 29, 45, 61
    k = v128.load32_splat(constants, 52)
    tx = add(add(add(k, cx), choose(hx, ax, bx)), bigSigma1(hx)); ty = add(add(add(k, cy), choose(hy, ay, by)), bigSigma1(hy))
    gx = add(gx, tx); gy = add(gy, ty)
    // ab is bc of the next round: d ⊕ e, then e ⊕ f
    abx = v128.xor(dx, ex); aby = v128.xor(dy, ey)
    cx = add(add(tx, majority(abx, bcx, ex)), bigSigma0(dx)); cy = add(add(ty, majority(aby, bcy, ey)), bigSigma0(dy))
    bcx = abx; bcy = aby
    // rounds 14, 30, 46, 62
    k = v128.load32_splat(constants, 56)
    tx = add(add(add(k, bx), choose(gx, hx, ax)), bigSigma1(gx)); ty = add(add(add(k, by), choose(gy, hy, ay)), bigSigma1(gy))
    fx = add(fx, tx); fy = add(fy, ty)
    // ab is bc of the next round: c ⊕ d, then d ⊕ e
    abx = v128.xor(cx, dx); aby = v128.xor(cy, dy)
    bx = add(add(tx, majority(abx, bcx, dx)), bigSigma0(cx)); by = add(add(ty, majority(aby, bcy, dy)), bigSigma0(cy))
    bcx = abx; bcy = aby
    // rounds 15, 31, 47, 63
    k = v128.load32_splat(constants, 60)
    tx = add(add(add(k, ax), choose(fx, gx, hx)), bigSigma1(fx)); ty = add(add(add(k, ay), choose(fy, gy, hy)), bigSigma1(fy))
    ex = add(ex, tx); ey = add(ey, ty)
    // ab is bc of the next round: b ⊕ c, then c ⊕ d
    abx = v128.xor(bx, cx); aby = v128.xor(by, cy)
    ax = add(add(tx, majority(abx, bcx, cx)), bigSigma0(bx)); ay = add(add(ty, majority(aby, bcy, cy)), bigSigma0(by))
    bcx = abx; bcy = aby
    constants += 64
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
