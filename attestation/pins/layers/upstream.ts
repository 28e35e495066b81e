/**
 * Where does upstream's tag lead now, and where did it lead when the model was taken over? A tag is whoever may move it: this is seen and said, and
 * decides nothing. How a store is read: `cli/upstream.ts`.
 */
import { z } from "zod"
import { line, plainLine } from "../../wire/text.ts"

const name = line(200).min(1)

/** The most tags that a record keeps. */
const tagLimit = 64

/**
 * The place that the store downloaded from, the revision there (a Git commit, or SHA-256 of Ollama's manifest, in hex), and the tags that led to it
 * on the day that the model was added.
 */
export const upstream = z.strictObject({ place: name, revision: name, tags: z.array(name).max(tagLimit) })
export type Upstream = z.infer<typeof upstream>

/** What a store says now: each tag, and the revision that it leads to. */
export type Tagged = {
  readonly place: string
  readonly revision: string
  readonly tags: ReadonlyMap<string, string>
}

/** What a record keeps of it: the tags that lead to the revision that was added. */
export const upstreamOf = ({ place, revision, tags }: Tagged): Upstream => ({
  place: plainLine(place, 200),
  revision: plainLine(revision, 200),
  tags: [...tags]
    .filter(([, leadsTo]) => leadsTo === revision)
    .map(([tag]) => plainLine(tag, 200))
    .toSorted()
    .slice(0, tagLimit),
})

export type Moved = { readonly tag: string; readonly was: string; readonly is: string }

/** The tags that led to the recorded revision and lead elsewhere now. A tag that the store lacks says nothing of upstream's. */
export function movedTags(recorded: Upstream | undefined, { place, tags }: Tagged): Moved[] {
  if (recorded === undefined || recorded.place !== plainLine(place, 200)) return []
  const now = new Map([...tags].map(([tag, leadsTo]) => [plainLine(tag, 200), leadsTo]))
  return recorded.tags.flatMap((tag): Moved[] => {
    const is = now.get(tag)
    return is === undefined || is === recorded.revision ? [] : [{ tag, was: recorded.revision, is }]
  })
}
