// Package accountfile reads the accounts that an administrator gives as a CSV file, and judges each.
//
// It owns the columns, what may stand in them, and the messages about what may not, which name the line and the column and never repeat
// a person's data. It knows nothing of what is recorded already. Its functions may be called at once.
package accountfile
