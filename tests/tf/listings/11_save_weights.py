import rkeras.tf as tf
model = tf.keras.Sequential([
    tf.keras.layers.Dense(64, activation='relu', input_shape=(784,)),
    tf.keras.layers.Dense(10, activation='softmax')
])
# 保存权重
model.save_weights('weights.h5')
model.save_weights('weights')
# 加载权重
model.load_weights('weights.h5')
model.load_weights('weights')
