/**
 * What does an XML document of a program say? The part of XML 1.0 that such programs write: elements, attributes, text. What
 * could make a reader fetch or grow (a DTD with a subset, entities of its own) is refused. What the elements mean: smi.ts.
 */

/** `text` is what stands in the element itself, without white space around it. */
export type Element = {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly Element[]
  readonly text: string
}

/** The document is not one that is read here. The message says why, in a few words. */
export class BadXml extends Error {}

const bounds = Object.freeze({ characters: 1 << 22, depth: 32, elements: 100_000, attributes: 16 })

type Open = {
  readonly name: string
  readonly attributes: Map<string, string>
  readonly children: Element[]
  text: string
}

/** White space, a comment, the declaration, and a document type without a subset: what may stand beside elements. */
const beside = /\s+|<\?xml[^<>]{0,200}\?>|<!--[^]{0,65536}?-->|<!DOCTYPE\s[^<>[\]]{0,300}>/y
const tag = /<(\/?)([A-Za-z_][\w.-]{0,127})((?:\s+[\w.:-]{1,64}\s*=\s*(?:"[^"<]{0,1024}"|'[^'<]{0,1024}'))*)\s*(\/?)>/y
const attribute = /([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g
const text = /[^<]+/y
const comment = /<!--[^]{0,65536}?-->/y

/** The root element. Throws BadXml. */
export function parseXml(document: string): Element {
  if (document.length > bounds.characters) throw new BadXml("too long")
  const reader = new Reader(document)
  return reader.root()
}

class Reader {
  readonly #document: string
  readonly #open: Open[] = []
  #at = 0
  #count = 0

  constructor(document: string) {
    this.#document = document
  }

  root(): Element {
    this.#skip()
    for (;;) {
      const done = this.#step()
      if (done === "more") continue
      this.#skip()
      if (this.#at < this.#document.length) throw new BadXml("goes on behind its root element")
      return done
    }
  }

  #skip(): void {
    while (this.#take(beside) !== "none");
  }

  #take(pattern: RegExp): RegExpExecArray | "none" {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#document)
    if (match === null) return "none"
    this.#at = pattern.lastIndex
    return match
  }

  #step(): Element | "more" {
    const inner = this.#open.at(-1)
    const words = inner ? this.#take(text) : "none"
    if (inner && words !== "none") {
      inner.text += plain(words[0])
      return "more"
    }
    if (inner && this.#take(comment) !== "none") return "more"
    const found = this.#take(tag)
    if (found === "none") throw new BadXml(`is not understood at character ${this.#at}`)
    const [, slash = "", name = "", attributes = "", empty = ""] = found
    if (slash !== "" && (attributes !== "" || empty !== "")) throw new BadXml("an end tag says more than a name")
    if (slash === "") this.#begin(name, attributes)
    return slash === "" && empty === "" ? "more" : this.#finish(name)
  }

  #begin(name: string, given: string): void {
    if (++this.#count > bounds.elements) throw new BadXml(`has more than ${bounds.elements} elements`)
    if (this.#open.length >= bounds.depth) throw new BadXml(`is nested deeper than ${bounds.depth}`)
    const attributes = new Map<string, string>()
    for (const [, key = "", double, single] of given.matchAll(attribute)) {
      if (attributes.has(key) || attributes.size >= bounds.attributes) throw new BadXml("has attributes too many")
      attributes.set(key, plain(double ?? single ?? ""))
    }
    this.#open.push({ name, attributes, children: [], text: "" })
  }

  #finish(name: string): Element | "more" {
    const done = this.#open.pop()
    if (done?.name !== name) throw new BadXml(`ends ${name} where it is not open`)
    const element = { ...done, text: done.text.trim() }
    const outer = this.#open.at(-1)
    outer?.children.push(element)
    return outer ? "more" : element
  }
}

const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }

/** References to the five characters of XML, and to characters by number. Any other would need a DTD. */
const plain = (raw: string): string =>
  raw.replace(
    /&(?:([a-z]{1,8})|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));|&/g,
    (_, name?: string, ten?: string, hex?: string) => {
      const known =
        name === undefined ? characterOf(ten === undefined ? Number.parseInt(hex ?? "", 16) : Number(ten)) : named[name]
      if (known === undefined) throw new BadXml("refers to an entity of its own")
      return known
    },
  )

const characterOf = (code: number): string | undefined =>
  code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : undefined

/** The element that is reached by these names, the first of each. */
export function within(element: Element, ...names: readonly string[]): Element | undefined {
  let at: Element | undefined = element
  for (const name of names) at = at?.children.find(each => each.name === name)
  return at
}
