/**
 * How is the emulator itself told what to do: to cut a cable, to wake a machine, to end? By QMP, its own protocol: JSON lines on a
 * Unix socket, of which this speaks the part that a test needs.
 */
import { createConnection, type Socket } from "node:net"

type Waiting = { readonly done: (answer: unknown) => void; readonly failed: (error: Error) => void }

export class Qmp {
  readonly #socket: Socket
  readonly #waiting: Waiting[] = []
  readonly #events: string[] = []
  #rest = ""

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding("utf8")
    socket.on("data", (text: string) => this.#take(text))
    socket.on("error", () => socket.destroy())
    socket.on("close", () => {
      for (const { failed } of this.#waiting.splice(0)) failed(new Error("the emulator has ended"))
    })
  }

  /** Connects and leaves the greeting behind. @throws Error when nothing listens at `path` */
  static async open(path: string): Promise<Qmp> {
    const qmp = await new Promise<Qmp>((resolve, reject) => {
      const socket = createConnection(path)
      socket.once("error", reject)
      socket.once("connect", () => resolve(new Qmp(socket)))
    })
    await qmp.execute("qmp_capabilities")
    return qmp
  }

  /** Names of the events so far, such as SUSPEND and WAKEUP, oldest first. */
  get events(): readonly string[] {
    return this.#events
  }

  execute(command: string, given: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return new Promise((done, failed) => {
      if (this.#socket.destroyed) return failed(new Error("the emulator has ended"))
      this.#waiting.push({ done, failed })
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: given })}\n`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() ?? ""
    for (const line of lines) if (line.trim() !== "") this.#takeMessage(JSON.parse(line))
  }

  #takeMessage(message: { return?: unknown; error?: { desc: string }; event?: string }): void {
    if (message.event !== undefined) this.#events.push(message.event)
    else if ("return" in message) this.#waiting.shift()?.done(message.return)
    else if (message.error) this.#waiting.shift()?.failed(new Error(message.error.desc))
  }
}
