package store

import "context"

// SealProofs returns what proves which keys the database was used with, by the ids of the keys.
func (s *Store) SealProofs(ctx context.Context) (map[string][]byte, error) {
	rows, err := s.db.query(ctx, "SELECT id, proof FROM seal_keys")
	if err != nil {
		return nil, failed("read proofs of keys", err)
	}
	defer rows.Close()
	all := map[string][]byte{}
	for rows.Next() {
		var id string
		var proof []byte
		if err := rows.Scan(&id, &proof); err != nil {
			return nil, failed("read proofs of keys", err)
		}
		all[id] = proof
	}
	return all, failed("read proofs of keys", rows.Err())
}

// AddSealProof notes that the database is used with a key, unless its id is there: the first one stays.
func (s *Store) AddSealProof(ctx context.Context, id string, proof []byte) error {
	_, err := s.db.exec(ctx, "INSERT INTO seal_keys (id, proof) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING", id, proof)
	return failed("note key", err)
}
