/**
 * How is a passphrase asked for? On the terminal itself, unseen, whatever stdin and stdout are: never on the command line and never
 * in the environment, where others can read it.
 */
import { openSync } from "node:fs"
import { ReadStream } from "node:tty"
import { Problem } from "./exit.ts"

const longest = 1024
const shortest = 10

/** The passphrase that a person types. Throws {@link Problem} where there is no terminal. */
export async function askPassphrase(prompt: string): Promise<string> {
  const terminal = openTerminal()
  try {
    terminal.setRawMode(true)
    process.stderr.write(prompt)
    return await typed(terminal)
  } finally {
    terminal.setRawMode(false)
    terminal.destroy()
    process.stderr.write("\n")
  }
}

/** A new passphrase, typed twice. */
export async function chooseNewPassphrase(what: string): Promise<string> {
  const first = await askPassphrase(`new passphrase for ${what}: `)
  if (first.length < shortest)
    throw new Problem("misuse", `the passphrase has fewer than ${shortest} characters`, "use a few words")
  if ((await askPassphrase(`the same passphrase again: `)) !== first)
    throw new Problem("misuse", "the two passphrases differ", "nothing was written; try again")
  return first
}

function openTerminal(): ReadStream {
  try {
    return new ReadStream(openSync("/dev/tty", "r+"))
  } catch {
    throw new Problem("missing", "there is no terminal to ask for the passphrase", "run this where a person can type")
  }
}

function typed(terminal: ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ""
    terminal.setEncoding("utf8")
    terminal.on("data", chunk => {
      for (const character of String(chunk)) {
        if (character === "\r" || character === "\n") return resolve(text)
        if (character === "\u0003" || character === "\u0004") return reject(interrupted())
        text = character === "\u007f" || character === "\b" ? text.slice(0, -1) : (text + character).slice(0, longest)
      }
    })
    terminal.once("error", reject)
    terminal.once("end", () => reject(interrupted()))
  })
}

const interrupted = (): Problem => new Problem("failed", "no passphrase was given", "nothing was written")
