/**
 * Which weights lie on this machine? Each model of the configuration by its digest, and each of its files by two. Which of
 * them a server has loaded is another source's business. What a file claims of itself is no fact: claims.ts.
 */
import type { Found } from "../found.ts"
import type { Fact } from "../../attestation/protocol/event.ts"
import type { Weights } from "../config.ts"
import { type HashedFile, type HashedModel, hashModelWith } from "../hash/model.ts"
import { type Binary, fromBinary } from "../hash/binary.ts"
import { candidatesFor } from "../hash/ollama.ts"
import { CannotHash } from "../hash/tree.ts"
import { type Context, fact, known, measurements, type Source } from "./source.ts"

/** Files of a model that have facts of their own; of a model with more the digest alone is told, which covers them all. */
const toldFiles = 5000

export const weights: Source = {
  name: "weights",
  measure: async context => {
    if (context.weights.length === 0) return measurements("weights", "", [["absent", "a model in the configuration"]])
    const found: (readonly [string, Fact[]])[] = []
    for (const model of context.weights) found.push([model.name, await modelFacts(context, model)])
    return found.flatMap(([name, facts]) => measurements("weights", name, facts))
  },
}

async function modelFacts(context: Context, { name, path, links }: Weights): Promise<Fact[]> {
  const local = await localOf(context, path)
  if (local.state !== "present") return [fact(path, local)]
  const { hasher, depth, signal } = context
  try {
    const progress: Parameters<typeof hashModelWith>[3]["progress"] = each => context.progress(name, each)
    const model = await hashModelWith(hasher, depth, local.value, { signal, progress, links })
    hasher.models.keep(name, { path: local.value, links, model })
    return [...wholeFacts(model), ...(name === path ? [] : [known("path", path)]), ...filesFacts(model)]
  } catch (error) {
    if (!(error instanceof CannotHash)) throw error
    return [
      error.obstacle === "absent"
        ? fact(path, { state: "absent" })
        : fact(path, { state: "unreadable", problem: `${error.message}: ${error.hint}` }),
    ]
  }
}

/** Where the model is on the machine that runs this; a model of Ollama is its manifest. */
async function localOf({ host }: Context, path: string): Promise<Found<string>> {
  let found: Found<string> = { state: "absent" }
  for (const each of candidatesFor(path)) {
    if (found.state === "absent") found = await host.local(each)
  }
  return found
}

const wholeFacts = ({ digest, files, bytes }: HashedModel): Fact[] => [
  known("digest", `sha256:${digest}`),
  known("files", files.length),
  known("bytes", bytes),
]

function filesFacts({ files, broken }: HashedModel): Fact[] {
  const promises = broken.map(({ name, promised }) => known(named("promised", name), `sha256:${promised}`))
  if (files.length > toldFiles) return [...promises, known("untold", `each of more than ${toldFiles} files`)]
  return [...promises, ...files.flatMap(fileFacts)]
}

/** A file, and where it leads if it is a link. */
function fileFacts({ name, sha256, verity, size, link }: HashedFile): Fact[] {
  const file = known(named("file", name), `sha256:${sha256} verity:${verity} size:${size}`)
  return link === "" ? [file] : [file, known(named("link", name), fromBinary(link))]
}

const named = (what: string, name: Binary): Uint8Array => fromBinary(`${what}/${name}`)
