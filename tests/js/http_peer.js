// An ilp-plugin-http peer that a test drives: JSON lines on stdin and stdout.
//
//   node http_peer.js <port to listen on> <URL to send to> <token it takes> <token it shows>
//
// In:  {"send": "<hex of a packet>", "id": n}    Out: {"reply": "<hex>", "id": n} or {"error": "...", "id": n}
// Each packet that arrives is answered with its own bytes, the first one made a Fulfill's type, and told as {"got": "<hex>"}.
'use strict'
const readline = require('readline')
const Plugin = require('ilp-plugin-http')

const [port, url, takes, shows] = process.argv.slice(2)
const tell = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const plugin = new Plugin({
  incoming: { port: Number(port), staticToken: takes },
  outgoing: { url, staticToken: shows, name: 'javascript' }
})

plugin.registerDataHandler(async (packet) => {
  tell({ got: packet.toString('hex') })
  return Buffer.concat([Buffer.from([13]), packet.slice(1)])
})
plugin.connect().then(() => tell({ connected: true }), (error) => tell({ error: error.message }))

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { send, id } = JSON.parse(line)
  try {
    const reply = await plugin.sendData(Buffer.from(send, 'hex'))
    tell({ reply: reply.toString('hex'), id })
  } catch (error) {
    tell({ error: error.message, id })
  }
}).on('close', () => process.exit(0))
