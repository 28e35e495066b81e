// What are the 64 words of a block's message schedule (FIPS 180-4 §6.2.2 step 1), in eight lanes? x stands for lanes 0
// to 3 and y for lanes 4 to 7. The schedule of a single stream is woven into its rounds (rounds.ts).
//
// A pass of its own leaves both this loop and that of the rounds so short that they lie in one page of machine code.
// Woven together they were 2 % slower, and on Zen 5 fell to a half or a third of the rate in one process of twenty,
// depending on the addresses that V8 gave the code.

import { add, smallSigma0, smallSigma1 } from "./functions"

/** Of the 64 rows of 32 bytes at `words` the first 16 are the block; the others are written from them. */
export function scheduleLanes(words: usize): void {
  let ax = v128.load(words), ay = v128.load(words, 16) // W[t − 16]
  let px = v128.load(words, 448), py = v128.load(words, 464) // W[t − 2]
  let qx = v128.load(words, 480), qy = v128.load(words, 496) // W[t − 1]
  for (let t = 16; t < 64; t += 2) {
    const bx = v128.load(words, 32), by = v128.load(words, 48) // W[t − 15]
    const mx = v128.load(words, 288), my = v128.load(words, 304) // W[t − 7]
    px = add(add(add(ax, smallSigma0(bx)), mx), smallSigma1(px)); py = add(add(add(ay, smallSigma0(by)), my), smallSigma1(py))
    v128.store(words, px, 512); v128.store(words, py, 528)

    const cx = v128.load(words, 64), cy = v128.load(words, 80) // W[t + 1 − 15]
    const nx = v128.load(words, 320), ny = v128.load(words, 336) // W[t + 1 − 7]
    qx = add(add(add(bx, smallSigma0(cx)), nx), smallSigma1(qx)); qy = add(add(add(by, smallSigma0(cy)), ny), smallSigma1(qy))
    v128.store(words, qx, 544); v128.store(words, qy, 560)

    ax = cx; ay = cy
    words += 64
  }
}
