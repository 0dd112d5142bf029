// Starts reqlite, an imitation of RethinkDB, and makes it answer as the server does where the tests depend on that:
// node reqlite.js FOLDER-OF-THE-PACKAGE PORT
const net = require('net')
const [home, port] = process.argv.slice(2)

// On loopback only; by itself it listens on every interface.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ready) { return listen.call(this, port, '127.0.0.1', ready) }

// RethinkDB says its version at login; without it the driver ends the connection.
const stringify = JSON.stringify
JSON.stringify = function (value, ...rest) {
  const isHello = value && value.min_protocol_version !== undefined
  return stringify.call(JSON, isHello ? { ...value, server_version: 'reqlite' } : value, ...rest)
}

// Its salt is no valid base64, which the driver checks.
Object.defineProperty(require(home + '/lib/connection.js').prototype, 'salt', {
  get() { return this.base64 },
  set(salt) { this.base64 = salt.replace(/=+$/, '==') },
})

// RethinkDB reads and replaces a document in one atomic step; here other queries came in between.
const Query = require(home + '/lib/query.js'), run = Query.prototype.run
let last = Promise.resolve()
Query.prototype.run = function () { return last = last.then(() => run.call(this)) }

new (require(home))({ 'driver-port': Number(port) })
