/**
 * How is each question answered? With what the kernel shows to this process, bounded, and only of what the list of verbs.ts
 * names; a file that cannot be had is an answer. The process around it: `main.ts`.
 */
import type { Found } from "../found.ts"
import type { Handlers } from "../../local/call.ts"
import { toBase64 } from "../../attestation/wire/text.ts"
import type { Weights } from "../config.ts"
import { Host } from "../host.ts"
import { imageOf } from "../sources/process/container.ts"
import { digestAt, type Part, partOf } from "./part.ts"
import { environmentOf, executablePart, linkOf, mappedBy, mappedPart, openedBy } from "./server.ts"
import { type Content, namedFiles, type verbs } from "./verbs.ts"
import { isOfModels } from "./weights.ts"

const host = new Host("/", "never run")

/** Handlers for a machine on which these weights are configured. */
export const handlersFor = (weights: readonly Weights[]): Handlers<typeof verbs> => ({
  link: ({ process, link }) => linkOf(process, link),
  mapped: ({ process }) => mappedBy(process),
  opened: ({ process }) => openedBy(process),
  environment: async ({ process }) => changed(await environmentOf(process), inBase64),
  bytes: async ({ content, offset, length }) =>
    changed(await partFor(weights, content, offset, length), ({ bytes, file }) => ({ bytes: toBase64(bytes), file })),
  boot: ({ name }) => digestAt(`/boot/${name}`),
  image: ({ container }) => imageOf(host, container),
})

const inBase64 = (variables: readonly (readonly [string, Uint8Array])[]): [string, string][] =>
  variables.slice(0, 1024).map(([name, value]) => [name, toBase64(value)])

function partFor(weights: readonly Weights[], content: Content, offset: number, length: number): Promise<Found<Part>> {
  switch (content.of) {
    case "named":
      return partOf(pathOf(content.name), { offset, length }, () => true)
    case "executable":
      return executablePart(content.process, offset, length)
    case "mapped":
      return mappedPart(content.process, content.path, offset, length)
    case "weights":
      return partOf(content.path, { offset, length }, (_, file) => isOfModels(weights, file))
    default:
      throw new Error("a kind of contents that nobody asks for")
  }
}

const pathOf = (name: string): string => namedFiles.find(([each]) => each === name)?.[1] ?? ""

const changed = <T, U>(found: Found<T>, change: (value: T) => U): Found<U> =>
  found.state === "present" ? { state: "present", value: change(found.value) } : found
