/**
 * Which code makes these measurements? The agent's own files and the executable of its interpreter, as the agent itself
 * reads them: worth as much as the agent is. What the kernel says of the same files is IMA's business.
 */
import type { Fact } from "../../attestation/protocol/event.ts"
import { join } from "node:path"
import { hashModelWith } from "../hash/model.ts"
import { CannotHash } from "../hash/tree.ts"
import { type Context, digestOfLocal, fact, known, measurements, type Source } from "./source.ts"

export const agent: Source = {
  name: "agent",
  measure: async context => {
    const { self } = context
    const code = await codeFacts(context)
    return [
      ...measurements("agent", "code", [known("version", self.version), ...code]),
      ...measurements("agent", "interpreter", [
        known("version", self.node),
        ...(await digestOfLocal(context, self.executable)),
      ]),
    ]
  },
}

/** For each folder of code the digest of its manifest, as weights have it. */
async function codeFacts(context: Context): Promise<Fact[]> {
  const { hasher, depth, signal, self } = context
  const facts: Fact[] = []
  for (const part of self.code) {
    const path = join(self.root, part)
    try {
      const { digest } = await hashModelWith(hasher, depth, path, {
        signal,
        progress: () => undefined,
        links: "own",
      })
      facts.push(known(`code/${part}`, `sha256:${digest}`))
    } catch (error) {
      if (!(error instanceof CannotHash)) throw error
      facts.push(fact(`code/${part}`, { state: "unreadable", problem: error.message }))
    }
  }
  return facts
}
