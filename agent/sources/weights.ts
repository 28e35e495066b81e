/**
 * Which weights lie on this machine? Each model of the configuration by its digest, and each of its files by two. Which of
 * them a server has loaded is another source's business.
 */
import type { Fact } from "../../attestation/protocol/event.ts"
import type { Weights } from "../config.ts"
import { type HashedFile, hashModelWith } from "../hash/model.ts"
import { CannotHash } from "../hash/tree.ts"
import { type Context, fact, known, measurements, type Source } from "./source.ts"

export const weights: Source = {
  name: "weights",
  measure: async context => {
    if (context.weights.length === 0) return measurements("weights", "", [["absent", "a model in the configuration"]])
    const found: (readonly [string, Fact[]])[] = []
    for (const model of context.weights) found.push([model.name, await modelFacts(context, model)])
    return found.flatMap(([name, facts]) => measurements("weights", name, facts))
  },
}

async function modelFacts(context: Context, { name, path }: Weights): Promise<Fact[]> {
  const local = await context.host.local(path)
  if (local.state !== "present") return [fact(path, local)]
  const progress: Parameters<typeof hashModelWith>[3]["progress"] = each => context.progress(name, each)
  try {
    const model = await hashModelWith(context.hasher, context.depth, local.value, {
      engine: "auto",
      signal: context.signal,
      progress,
    })
    const where = name === path ? [] : [known("path", path)]
    const whole = [
      known("digest", `sha256:${model.digest}`),
      known("files", model.files.length),
      known("bytes", model.bytes),
    ]
    return [...whole, ...where, ...model.files.flatMap(fileFacts)]
  } catch (error) {
    if (!(error instanceof CannotHash)) throw error
    return [
      error.obstacle === "absent"
        ? fact(path, { state: "absent" })
        : fact(path, { state: "unreadable", problem: error.message }),
    ]
  }
}

/** A file, and where it leads if it is a link. */
function fileFacts({ name, sha256, verity, size, link }: HashedFile): Fact[] {
  const file = known(Buffer.concat([Buffer.from("file/"), name]), `sha256:${sha256} verity:${verity} size:${size}`)
  return link === "none" ? [file] : [file, known(Buffer.concat([Buffer.from("link/"), name]), link)]
}
