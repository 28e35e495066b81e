/** Does the agent read its one file, refuse what it does not know, and is every key on its page? */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { defaults, file, readConfiguration } from "../agent/config.ts"
import { version } from "../agent/version.ts"
import { BadConfiguration, everyKey } from "../local/configuration.ts"

function refused(text: string): BadConfiguration {
  try {
    readConfiguration(text, {})
  } catch (error) {
    if (error instanceof BadConfiguration) return error
  }
  throw new Error(`not refused: ${text}`)
}

describe("agent.toml", () => {
  it("may be empty: then it is the defaults", () => {
    expect(readConfiguration("", {})).toEqual({ ...defaults, proxy: "none", listener: "off", weights: [] })
  })

  it("takes systemd's folders where it names none itself", () => {
    const environment = { STATE_DIRECTORY: "/var/lib/a:/var/lib/b", RUNTIME_DIRECTORY: "/run/a" }
    expect(readConfiguration("", environment)).toMatchObject({ state: "/var/lib/a", runtime: "/run/a" })
    expect(readConfiguration('state = "/srv/state"', environment)).toMatchObject({ state: "/srv/state" })
  })

  it("calls a model by its path unless it has a name", () => {
    const { weights } = readConfiguration('[[weights]]\npath = "/w"\n[[weights]]\nname = "m"\npath = "/v"', {})
    expect(weights).toEqual([
      { name: "/w", path: "/w", links: "own" },
      { name: "m", path: "/v", links: "own" },
    ])
  })

  it("quotes PCRs in ascending order, each once", () => {
    expect(readConfiguration("tpm.pcrs = [23, 7, 0, 7]", {}).tpm.pcrs).toEqual([0, 7, 23])
  })

  it.each([
    ["stat = '/x'", "unknown key stat", "did you mean state?"],
    ["[tpm]\ntctl = 'x'", "unknown key tpm.tctl", "did you mean tpm.tcti?"],
    ["[[weights]]\nnmae = 'x'\npath = '/x'", "unknown key weights.0.nmae", "did you mean weights.0.name?"],
    [
      "[zzzzzzzz]",
      "unknown key zzzzzzzz",
      "the keys here are state, runtime, reader, tpm, weights, hash, fresh, reports, listener, proxy, resume, spool",
    ],
    ["state = 'relative'", "state: not a path that begins with /", "docs/agent-configuration.md lists every key"],
    [
      "[tpm]\npcr = 7",
      "tpm.pcr: only PCR 16 and PCR 23 are free for our log",
      "docs/agent-configuration.md lists every key",
    ],
    ["[tpm]\npcrs = [0, 7]", "tpm.pcrs lacks PCR 23, which holds the log", "add 23 to tpm.pcrs"],
    [
      "[[weights]]\npath='/w'\n[[weights]]\nname='/w'\npath='/v'",
      "two weights are called /w",
      "give each of them a name of its own",
    ],
    ["state = ", "line 1: Invalid TOML document: invalid value", "the file is TOML 1.0"],
  ])("refuses %j", (text, message, hint) => {
    const error = refused(text)
    expect([error.message, error.hint]).toEqual([message, hint])
  })

  it.each(["state", "runtime", "tpm.deadline", "reports.every", "spool.evidence", "spool.mebibytes"])(
    "bounds %s",
    key => {
      expect(refused(`${key} = 1e9`)).toBeInstanceOf(BadConfiguration)
      expect(refused(`${key} = "/${"x".repeat(600)}"`)).toBeInstanceOf(BadConfiguration)
    },
  )

  it("has every key on its page, and no other", () => {
    const page = readFileSync("docs/agent-configuration.md", "utf8")
    const listed = [...page.matchAll(/^\| `([a-z._]+)` \|/gm)].map(([, key]) => key)
    expect(new Set(listed)).toEqual(new Set(everyKey(file)))
  })

  it("shows an example on its page that it reads itself", () => {
    const example = /```toml\n([^`]*)```/.exec(readFileSync("docs/agent-configuration.md", "utf8"))?.[1] ?? ""
    expect(readConfiguration(example, {}).weights).toHaveLength(2)
  })
})

it("has the package's version", () => {
  expect(JSON.parse(readFileSync("package.json", "utf8"))).toMatchObject({ version })
})
