// Package seal keeps secrets that must lie in the database (seeds, codes, tokens of others) unreadable to whoever has only the database.
//
// Its keys come from a file that is not the database's. The first of the file seals; all of them open, so that a key is replaced by
// putting a new one in front. From each key one key for each purpose is derived, so that what was sealed for one purpose means nothing
// for another. The package reads no file and knows no table; it never shows a key, in an error or otherwise. Keys do not change after
// Parse and are safe for concurrent use.
package seal
