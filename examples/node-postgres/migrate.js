const pool = require('./database');

pool
  .query('create table if not exists visit (id serial primary key, name text not null)')
  .then(() => console.log('the table visit is there'))
  .finally(() => pool.end());
