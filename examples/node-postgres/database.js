// The database of the service binding: a folder for each below $SERVICE_BINDING_ROOT, a file for each key.
const fs = require('node:fs');
const path = require('node:path');
const { Pool } = require('pg');

function binding(type) {
  const root = process.env.SERVICE_BINDING_ROOT ?? '/platform/bindings';
  for (const name of fs.readdirSync(root).sort()) {
    const value = (key) => fs.readFileSync(path.join(root, name, key), 'utf8').trim();
    if (value('type') === type) return value;
  }
  throw new Error(`there is no binding of type ${type} in ${root}`);
}

const value = binding('postgresql');
const pool = new Pool({
  host: value('host'),
  port: Number(value('port')),
  user: value('username'),
  password: value('password'),
  database: value('database'),
});

// A connection that nobody uses may be lost; the pool opens another when one is wanted.
pool.on('error', (error) => console.error(`lost a connection: ${error.message}`));

module.exports = pool;
